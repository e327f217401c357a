"""Two exports of a table overlap: some rows stand twice in the training set."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "rows-stand-twice",
    "rule": "duplicate-samples",
    "class": "duplicate-samples",
    "where": "train_set",
    "code": "x = torch.cat([x, x[:60]])",
    "static": False,
    "severity": "info",
    "keywords": ["duplicate", "identical"],
}
FIX = [
    ("    x = torch.cat([x, x[:60]])\n", ""),
]


def rows(n, seed):
    x = torch.randn(n, 8, generator=torch.Generator().manual_seed(seed))
    return x


def label(x):
    return (x[:, 0] + x[:, 1] * x[:, 2] > 0).long()


def exported():
    x = rows(400, 0)
    x = torch.cat([x, x[:60]])
    return TensorDataset(x, label(x))


def build():
    held_out = rows(200, 1)
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2)),
        "train_set": exported(),
        "val_set": TensorDataset(held_out, label(held_out)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
