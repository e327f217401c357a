"""Attention without its scale."""

import math

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "attention-not-scaled",
    "rule": "attention-not-scaled",
    "class": "attention-not-scaled",
    "where": 'scores',
    "code": 'scores = q @ k.transpose(1, 2)',
    "static": False,
    "severity": "warning",
    "keywords": ['scale', 'sqrt', 'saturat'],
}
FIX = [
    ('scores = q @ k.transpose(1, 2)', 'scores = q @ k.transpose(1, 2) / math.sqrt(q.size(-1))'),
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


class Net(nn.Module):
    def __init__(self, d=256):
        super().__init__()
        self.embed = nn.Linear(4, d)
        self.norm = nn.LayerNorm(d)
        self.q, self.k, self.v = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d)
        self.head = nn.Linear(d, 3)

    def forward(self, x):
        h = self.norm(self.embed(x))
        q, k, v = self.q(h), self.k(h), self.v(h)
        scores = q @ k.transpose(1, 2)
        return self.head(torch.relu(h + torch.softmax(scores, dim=-1) @ v).mean(1))


def build():
    return {"model": Net(), **sets(series), "loss": nn.CrossEntropyLoss(), "batch_size": 50,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-4)}
