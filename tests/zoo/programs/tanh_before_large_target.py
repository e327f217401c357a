"""A tanh as the last module, and targets beyond -1..1.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "targets-out-of-reach",
    "class": "targets-out-of-reach",
    "rule": "targets-out-of-reach",
    "where": "3 (Tanh)",
    "code": "nn.Tanh()",
    "static": False,
    "severity": "error",
    "keywords": ["tanh", "range", "out of reach"],
}
FIX = [
    (', nn.Tanh()', ''),
]


def line(n, seed, d=8):
    """A linear regression with a little noise; the targets are (n, 1)."""
    w = torch.linspace(-1, 1, d)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, (x @ w + 0.1 * torch.randn(n, generator=g))[:, None]


def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1), nn.Tanh()),
        "train_set": TensorDataset(*line(600, 0)),
        "val_set": TensorDataset(*line(300, 1)),
        "loss": nn.SmoothL1Loss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
