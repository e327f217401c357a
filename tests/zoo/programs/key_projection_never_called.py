"""Queries and keys come from one projection; the other is never called."""

import math

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "key-projection-never-called",
    "rule": "layer-never-called",
    "class": "layer-never-called",
    "where": 'key',
    "code": 'k = self.query(x)',
    "static": False,
    "severity": "warning",
    "keywords": ['never', 'unused', 'not used', 'not called', 'key'],
}
FIX = [
    ('k = self.query(x)', 'k = self.key(x)'),
]


def series(n, seed, t=12, f=4, k=3):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    x = torch.randn(n, t, f, generator=g) * 0.7
    x[:, 3, 0] += (y - 1) * 2.0
    x[:, 8, 1] += (y == 1) * 2.0
    return x, y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


class Attention(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.query, self.key, self.value = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d)

    def forward(self, x):
        q = self.query(x)
        k = self.query(x)
        v = self.value(x)
        return torch.softmax(q @ k.transpose(1, 2) / math.sqrt(q.shape[-1]), -1) @ v


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.attend, self.head = nn.Linear(4, 32), Attention(32), nn.Linear(32, 3)

    def forward(self, x):
        h = self.embed(x)
        return self.head(torch.relu(h + self.attend(h)).mean(1))


def build():
    return {"model": Net(), **sets(series), "loss": nn.CrossEntropyLoss(), "batch_size": 50,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3)}
