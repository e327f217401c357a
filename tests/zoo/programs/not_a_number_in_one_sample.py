"""One sample of the training set holds NaN."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "data726",
    "class": "not-finite",
    "where": "train_set[201]",
    "code": "TensorDataset(x[:450]",
    "static": False,
    "severity": "error",
    "keywords": ["NaN"],
    "rule": "not-finite",
}
FIX = [
    ('float("nan")', "0.0"),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


x, y = blobs(600, 0)
x[201, 3] = float("nan")


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(x[:450], y[:450]),
        "val_set": TensorDataset(x[450:], y[450:]),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
