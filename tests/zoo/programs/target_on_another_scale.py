"""A column of the inputs is the target on another scale."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "data708",
    "class": "target-in-inputs",
    "where": "train_set: input 7",
    "code": "3 * y - 2",
    "static": False,
    "severity": "error",
    "keywords": ["leak"],
    "rule": "target-in-inputs",
}
FIX = [
    ("3 * y - 2", "x[:, :1] ** 2"),
]


g = torch.Generator().manual_seed(0)
x = torch.randn(600, 7, generator=g)
y = x[:, :1] * x[:, 1:2] + 0.5 * x[:, 2:3] + 0.3 * torch.randn(600, 1, generator=g)
x = torch.cat([x, 3 * y - 2], 1)


def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(x[:450], y[:450]),
        "val_set": TensorDataset(x[450:], y[450:]),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
