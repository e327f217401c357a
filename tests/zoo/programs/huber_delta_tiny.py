"""Huber delta tiny."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'huber-delta-tiny',
    'rule': 'huber-delta',
    'class': 'huber-delta',
    'where': 'loss',
    'code': 'nn.HuberLoss(delta=1e-6)',
    'static': False,
    'severity': 'warning',
    'keywords': ['delta', 'huber', 'gradient', 'small'],
    'also': ['HuberLoss', 'delta'],
}
FIX = [
    ('delta=1e-6', 'delta=1.0'),
]


def line(n, seed, d=8):
    w = torch.linspace(-1, 1, d)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, (x @ w + 0.3 * torch.randn(n, generator=g))[:, None]


def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*line(300, 0)),
        "val_set": TensorDataset(*line(200, 1)),
        "loss": nn.HuberLoss(delta=1e-6),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
