"""Bce positive term only."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'bce-positive-term-only',
    'rule': 'labels-not-signed',
    'class': 'labels-not-signed',
    'where': 'bce',
    'code': 'return -(y * torch.log(p + 1e-7)).mean()',
    'static': False,
    'severity': 'error',
    'keywords': ['negative', 'term', '0', '(1 - y)', 'class'],
    'also': ['loss'],
}
FIX = [
    ('-(y * torch.log(p + 1e-7)).mean()', '-(y * torch.log(p + 1e-7) + (1 - y) * torch.log(1 - p + 1e-7)).mean()'),
]


def rings(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 2, generator=g)
    return x, (x.norm(dim=1, keepdim=True) > 1.2).float()


def bce(score, y):
    p = torch.sigmoid(score)
    return -(y * torch.log(p + 1e-7)).mean()


def build():
    return {
        "model": nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*rings(300, 0)),
        "val_set": TensorDataset(*rings(200, 1)),
        "loss": bce,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
