"""Dice of raw logits."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'dice-of-raw-logits',
    'rule': 'raw-scores-into-overlap',
    'class': 'raw-scores-into-overlap',
    'where': 'dice_loss',
    'code': 'p = logits.flatten(1)',
    'static': False,
    'severity': 'error',
    'keywords': ['sigmoid', 'logits', 'probabilit', 'raw'],
    'also': ['loss'],
}
FIX = [
    ('p = logits.flatten(1)', 'p = torch.sigmoid(logits).flatten(1)'),
]


def discs(n, seed, size=16):
    g = torch.Generator().manual_seed(seed)
    yy, xx = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    c = torch.randint(4, 12, (n, 2, 1, 1), generator=g)
    mask = (((yy - c[:, 0]) ** 2 + (xx - c[:, 1]) ** 2) < 12).float()[:, None]
    return mask + 0.4 * torch.randn(n, 1, size, size, generator=g), mask


def dice_loss(logits, mask, eps=1.0):
    p = logits.flatten(1)
    m = mask.flatten(1)
    inter = (p * m).sum(1)
    return 1 - ((2 * inter + eps) / (p.sum(1) + m.sum(1) + eps)).mean()


def build():
    return {
        "model": nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1)),
        "train_set": TensorDataset(*discs(200, 0)),
        "val_set": TensorDataset(*discs(200, 1)),
        "loss": dice_loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
