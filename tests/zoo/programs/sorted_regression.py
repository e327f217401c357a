"""Samples are sorted by their target, and shuffling is off."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "data732",
    "class": "sorted-not-shuffled",
    "where": "shuffle",
    "code": '"shuffle": False',
    "static": False,
    "severity": "error",
    "keywords": ["shuffle", "sorted"],
    "rule": "sorted-not-shuffled",
}
FIX = [
    ('"shuffle": False', '"shuffle": True'),
]


g = torch.Generator().manual_seed(0)
x = torch.randn(600, 7, generator=g)
y = x[:, :1] * x[:, 1:2] + 0.5 * x[:, 2:3] + 0.3 * torch.randn(600, 1, generator=g)
x, y = x[:450][y[:450, 0].argsort()], y[:450].sort(0).values
others = torch.randn(150, 7, generator=g)


def build():
    return {
        "model": nn.Sequential(nn.Linear(7, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(x, y),
        "val_set": TensorDataset(others, others[:, :1] * others[:, 1:2] + 0.5 * others[:, 2:3]),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "shuffle": False,
    }
