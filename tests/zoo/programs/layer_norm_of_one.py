"""A LayerNorm over a single feature gives 0 for everything.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "norm-of-few",
    "class": "norm-of-few",
    "rule": "norm-of-few",
    "where": "3 (LayerNorm)",
    "code": "nn.LayerNorm(1)",
    "static": False,
    "severity": "error",
    "keywords": ["one value", "LayerNorm", "constant"],
}
FIX = [
    (', nn.LayerNorm(1)', ''),
]


def line(n, seed, d=8):
    """A linear regression with a little noise; the targets are (n, 1)."""
    w = torch.linspace(-1, 1, d)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, (x @ w + 0.1 * torch.randn(n, generator=g))[:, None]


def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1), nn.LayerNorm(1)),
        "train_set": TensorDataset(*line(600, 0)),
        "val_set": TensorDataset(*line(300, 1)),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
