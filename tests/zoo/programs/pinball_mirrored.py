"""Pinball mirrored."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'pinball-mirrored',
    'rule': 'quantiles-mirrored',
    'class': 'quantiles-mirrored',
    'where': 'pinball',
    'code': 'e = pred - y',
    'static': False,
    'severity': 'error',
    'keywords': ['quantile', 'pinball', 'sign', 'swapped', 'mirror'],
    'also': ['loss'],
}
FIX = [
    ('e = pred - y', 'e = y - pred'),
]


def line(n, seed, d=8):
    w = torch.linspace(-1, 1, d)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, (x @ w + 0.3 * torch.randn(n, generator=g))[:, None]

QUANTILES = [0.1, 0.5, 0.9]


def pinball(pred, y):
    losses = []
    e = pred - y
    for i, q in enumerate(QUANTILES):
        losses.append(torch.max(q * e[:, i], (q - 1) * e[:, i]))
    return torch.stack(losses, 1).sum(1).mean()


def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3)),
        "train_set": TensorDataset(*line(300, 0)),
        "val_set": TensorDataset(*line(200, 1)),
        "loss": pinball,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
