"""The validation set is standardised with its own statistics."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'seven-c17',
    "class": 'own-statistics',
    "where": 'val_set',
    "code": 'x_val = (x_val - x_val.mean(0)) / x_val.std(0)',
    "static": False,
    "severity": "info",
    "keywords": ['own', 'mean', 'std', 'statistics', 'normal'],
    "rule": 'own-statistics',
}
FIX = [
    ('x_train = (x_train - x_train.mean(0)) / x_train.std(0)', 'mean, std = x_train.mean(0), x_train.std(0)\n    x_train = (x_train - mean) / std'),
    ('x_val = (x_val - x_val.mean(0)) / x_val.std(0)', 'x_val = (x_val - mean) / std'),
]


def wells(n, seed, shift=0.0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=g) * torch.tensor([1.0, 4.0, 0.3, 9.0, 2.0, 5.0]) + 3
    x = x + shift * x.std(0)
    y = torch.tanh(x[:, :1] - 3) + 0.2 * x[:, 1:2]
    return x, y + 0.1 * torch.randn(n, 1, generator=g)


def build():
    x_train, y_train = wells(700, 0)
    x_val, y_val = wells(200, 1, shift=0.8)
    x_train = (x_train - x_train.mean(0)) / x_train.std(0)
    x_val = (x_val - x_val.mean(0)) / x_val.std(0)
    return {
        "model": nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(x_train, y_train),
        "val_set": TensorDataset(x_val, y_val),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
