"""The two sets number the classes in the order in which they happen to list them."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "data715",
    "class": "labels-renumbered",
    "where": "val_set: classes",
    "code": "TensorDataset(x[400:], order[y[400:]])",
    "static": False,
    "severity": "error",
    "keywords": ["number", "classes"],
    "rule": "labels-renumbered",
}
FIX = [
    ("torch.tensor([1, 2, 3, 0])", "torch.arange(4)"),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


x, y = blobs(600, 0)
order = torch.tensor([1, 2, 3, 0])


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(x[:400], y[:400]),
        "val_set": TensorDataset(x[400:], order[y[400:]]),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
