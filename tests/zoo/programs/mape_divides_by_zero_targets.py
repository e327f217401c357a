"""Mape divides by zero targets."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'mape-divides-by-zero-targets',
    'rule': 'divided-by-target',
    'class': 'divided-by-target',
    'where': 'mape',
    'code': 'return ((pred - y) / y).abs().mean()',
    'static': False,
    'severity': 'warning',
    'keywords': ['divi', 'zero', 'small', 'percentage', 'explod', 'target'],
    'also': ['loss'],
}
FIX = [
    ('((pred - y) / y).abs().mean()', '((pred - y).abs() / (pred.detach().abs() + y.abs() + 1)).mean()'),
]


def line(n, seed, d=8):
    w = torch.linspace(-1, 1, d)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, (x @ w + 0.3 * torch.randn(n, generator=g))[:, None]

def mape(pred, y):
    return ((pred - y) / y).abs().mean()


def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*line(300, 0)),
        "val_set": TensorDataset(*line(200, 1)),
        "loss": mape,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
