"""Scans are split at random, not by patient."""

import torch
from torch import nn
from torch.utils.data import Dataset, Subset, random_split  # noqa: F401 - the repair uses Subset

BUG = {
    "id": "data730",
    "class": "group-in-both-splits",
    "where": "patients",
    "code": "random_split(",
    "static": False,
    "severity": "info",
    "keywords": ["groups"],
    "rule": "group-in-both-splits",
}
FIX = [
    (
        "random_split(scans, [500, 100], generator=torch.Generator().manual_seed(0))",
        "Subset(scans, range(500)), Subset(scans, range(500, 600))",
    ),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Scans(Dataset):
    def __init__(self):
        self.x, self.y = blobs(600, 0)
        self.patients = [index // 10 for index in range(600)]

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index], self.y[index]


scans = Scans()
train, val = random_split(scans, [500, 100], generator=torch.Generator().manual_seed(0))


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": train,
        "val_set": val,
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
