"""One of several labels stands in the inputs."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "data712",
    "class": "target-in-inputs",
    "where": "train_set: input 10",
    "code": "y[:, 1:2]",
    "static": False,
    "severity": "error",
    "keywords": ["leak"],
    "rule": "target-in-inputs",
}
FIX = [
    ("y[:, 1:2]", "x[:, 1:2] ** 2"),
]


g = torch.Generator().manual_seed(0)
x = torch.randn(600, 10, generator=g)
y = (x[:, :3] + 0.5 * torch.randn(600, 3, generator=g) > 0).float()
x = torch.cat([x, y[:, 1:2]], 1)


def build():
    return {
        "model": nn.Sequential(nn.Linear(11, 32), nn.ReLU(), nn.Linear(32, 3)),
        "train_set": TensorDataset(x[:450], y[:450]),
        "val_set": TensorDataset(x[450:], y[450:]),
        "loss": nn.BCEWithLogitsLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
