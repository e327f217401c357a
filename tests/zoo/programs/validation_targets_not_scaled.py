"""Training targets are scaled, validation targets are not."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop308",
    "class": 'targets-treated-differently',
    "where": 'val_set',
    "code": '(y - 200) / 70',
    "static": False,
    "severity": 'error',
    "keywords": ['target', 'scale', 'normal'],
    "rule": 'targets-treated-differently',
}
FIX = [
    ('*line(300', '*scaled(300'),
]


def line(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=g)
    return x, x @ torch.linspace(-1, 1, 8)[:, None] * 40 + 200


def scaled(n, seed):
    x, y = line(n, seed)
    return x, (y - 200) / 70


def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*scaled(600, 0)),
        "val_set": TensorDataset(*line(300, 1)),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
