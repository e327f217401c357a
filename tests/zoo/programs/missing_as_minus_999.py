"""Missing values are written as -999 in one column."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "data737",
    "class": "missing-as-number",
    "where": "train_set: input 2",
    "code": "= -999",
    "static": False,
    "severity": "info",
    "keywords": ["missing"],
    "rule": "missing-as-number",
}
FIX = [
    ("= -999", "= 0"),
]


g = torch.Generator().manual_seed(0)
x = torch.randn(600, 6, generator=g)
y = x[:, :1] + 0.3 * torch.randn(600, 1, generator=g)
x[torch.rand(600, generator=g) < 0.05, 2] = -999


def build():
    return {
        "model": nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(x[:450], y[:450]),
        "val_set": TensorDataset(x[450:], y[450:]),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
