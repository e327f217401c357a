"""``maximize=True`` with a loss that is to fall.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loss-with-wrong-sign",
    "class": "loss-with-wrong-sign",
    "rule": "loss-with-wrong-sign",
    "where": "optimizer: maximize",
    "code": "maximize=True",
    "static": False,
    "severity": "error",
    "keywords": ["maximize"],
}
FIX = [
    (', maximize=True', ''),
]


def line(n, seed, d=8):
    """A linear regression with a little noise; the targets are (n, 1)."""
    w = torch.linspace(-1, 1, d)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, (x @ w + 0.1 * torch.randn(n, generator=g))[:, None]


def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*line(600, 0)),
        "val_set": TensorDataset(*line(300, 1)),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1, maximize=True),
        "batch_size": 50,
    }
