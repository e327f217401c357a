"""The collate function casts float targets to integers."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop312",
    "class": 'collate-truncates',
    "where": 'collate',
    "code": '.long()',
    "static": False,
    "severity": 'error',
    "keywords": ['cast', 'int'],
    "rule": 'collate-truncates',
}
FIX = [
    ('.long()', ''),
]


def line(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=g)
    return x, x @ torch.linspace(-1, 1, 8)


def collate(samples):
    y = torch.tensor([float(y) for _, y in samples]).long()
    return torch.stack([x for x, _ in samples]), y[:, None]


def loss(output, target):
    return nn.functional.mse_loss(output, target.float())


def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1)),
        "train_set": TensorDataset(*line(600, 0)),
        "val_set": TensorDataset(*line(300, 1)),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "collate": collate,
    }
