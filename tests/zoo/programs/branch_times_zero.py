"""A branch is multiplied by 0."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "branch-times-zero",
    "rule": "result-never-used",
    "class": "result-never-used",
    "where": 'Net.forward',
    "code": '0 * self.body(h)',
    "static": False,
    "severity": "error",
    "keywords": ['0', 'nothing', 'gradient'],
}
FIX = [
    ('0 * self.body(h)', 'self.body(h)'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(10, 32), nn.Linear(32, 4)
        self.body = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32))

    def forward(self, x):
        h = torch.relu(self.inner(x))
        return self.outer(torch.relu(h + 0 * self.body(h)))


def build():
    return {"model": Net(), **sets(blobs), "loss": nn.CrossEntropyLoss(), "batch_size": 50,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3)}
