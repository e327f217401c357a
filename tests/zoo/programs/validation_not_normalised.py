"""Training inputs are standardised, validation inputs are not."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop306",
    "class": 'splits-treated-differently',
    "where": 'val_set',
    "code": '(x - x.mean(0)) / x.std(0)',
    "static": False,
    "severity": 'error',
    "keywords": ['normal', 'range'],
    "rule": 'splits-treated-differently',
}
FIX = [
    ('*raw(300', '*standardised(300'),
]


def raw(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=g) * 4 + 6
    return x, x @ torch.linspace(-1, 1, 8)[:, None] / 4


def standardised(n, seed):
    x, y = raw(n, seed)
    return (x - x.mean(0)) / x.std(0), y


def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*standardised(600, 0)),
        "val_set": TensorDataset(*raw(300, 1)),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
