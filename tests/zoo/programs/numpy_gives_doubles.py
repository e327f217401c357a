"""Inputs come from numpy as float64."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "data728",
    "class": "float64-data",
    "where": "train_set: inputs dtype",
    "code": 'astype("float64")',
    "static": False,
    "severity": "error",
    "keywords": ["Double", "float64"],
    "rule": "float64-data",
}
FIX = [
    ('astype("float64")', 'astype("float32")'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Rows(Dataset):
    def __init__(self, n, seed):
        x, self.y = blobs(n, seed)
        self.x = x.numpy().astype("float64")

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index], self.y[index]


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": Rows(400, 0),
        "val_set": Rows(200, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
