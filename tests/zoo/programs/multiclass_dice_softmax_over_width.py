"""Multiclass dice softmax over width."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'multiclass-dice-softmax-over-width',
    'rule': 'softmax-over-wrong-dim',
    'class': 'softmax-over-wrong-dim',
    'where': 'multi_dice',
    'code': 'p = F.softmax(logits, dim=-1)',
    'static': False,
    'severity': 'error',
    'keywords': ['softmax', 'dim', 'class', 'width', 'channel'],
    'also': ['loss'],
}
FIX = [
    ('F.softmax(logits, dim=-1)', 'F.softmax(logits, dim=1)'),
]


def discs(n, seed, size=16, k=3):
    g = torch.Generator().manual_seed(seed)
    yy, xx = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    y = torch.zeros(n, size, size, dtype=torch.long)
    for c in range(1, k):
        p = torch.randint(3, 13, (n, 2, 1, 1), generator=g)
        y[((yy - p[:, 0]) ** 2 + (xx - p[:, 1]) ** 2) < 9] = c
    x = F.one_hot(y, k).permute(0, 3, 1, 2).float()
    return x.contiguous() + 0.5 * torch.randn(n, k, size, size, generator=g), y


def multi_dice(logits, y, eps=1.0):
    p = F.softmax(logits, dim=-1)
    t = F.one_hot(y, 3).permute(0, 3, 1, 2).float()
    inter = (p * t).sum((0, 2, 3))
    total = (p + t).sum((0, 2, 3))
    return 1 - ((2 * inter + eps) / (total + eps)).mean()


def build():
    return {
        "model": nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 1)),
        "train_set": TensorDataset(*discs(200, 0)),
        "val_set": TensorDataset(*discs(200, 1)),
        "loss": multi_dice,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
