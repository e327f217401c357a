"""Inputs of unit variance are divided by a million, as if they were still microseconds."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "inputs-unused",
    "class": "inputs-unused",
    "rule": "inputs-unused",
    "where": "model: inputs",
    "code": "class Net",
    "static": False,
    "severity": "warning",
    "keywords": ["not used"],
}
FIX = [
    ("x / 1e6 +", "x +"),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.randn(16) * 0.02)
        self.net = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 4))

    def forward(self, x):
        return self.net(x / 1e6 + self.place)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "deep": True,
    }
