"""Tv without abs."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'tv-without-abs',
    'rule': 'differences-cancel',
    'class': 'differences-cancel',
    'where': 'restore',
    'code': 'tv = (out[..., 1:] - out[..., :-1]).mean()',
    'static': False,
    'severity': 'warning',
    'keywords': ['abs', 'total variation', 'cancel', 'square', 'sign', 'linear'],
    'also': ['loss'],
}
FIX = [
    ('(out[..., 1:] - out[..., :-1]).mean()', '(out[..., 1:] - out[..., :-1]).abs().mean()'),
]


def noisy(n, seed, size=32):
    g = torch.Generator().manual_seed(seed)
    t = torch.linspace(0, 6.28, size)
    clean = torch.sin(t + 6.28 * torch.rand(n, 1, generator=g))[:, None]
    return clean + 0.4 * torch.randn(n, 1, size, generator=g), clean


def restore(out, clean):
    tv = (out[..., 1:] - out[..., :-1]).mean()
    return F.mse_loss(out, clean) + 0.1 * tv


def build():
    return {
        "model": nn.Sequential(nn.Conv1d(1, 16, 5, padding=2), nn.ReLU(), nn.Conv1d(16, 1, 5, padding=2)),
        "train_set": TensorDataset(*noisy(300, 0)),
        "val_set": TensorDataset(*noisy(200, 1)),
        "loss": restore,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
