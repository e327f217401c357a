"""Labels count from 1, and the head has one output more for it."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "data731",
    "class": "class-unused",
    "where": "train_set: classes",
    "code": "y[:450] + 1",
    "static": False,
    "severity": "info",
    "keywords": ["never"],
    "rule": "class-unused",
}
FIX = [
    ("nn.Linear(32, 5)", "nn.Linear(32, 4)"),
    ("y[:450] + 1", "y[:450]"),
    ("y[450:] + 1", "y[450:]"),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


x, y = blobs(600, 0)


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 5)),
        "train_set": TensorDataset(x[:450], y[:450] + 1),
        "val_set": TensorDataset(x[450:], y[450:] + 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
