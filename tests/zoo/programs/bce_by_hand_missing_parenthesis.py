"""Bce by hand missing parenthesis."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'bce-by-hand-missing-parenthesis',
    'rule': 'loss-with-wrong-sign',
    'class': 'loss-with-wrong-sign',
    'where': 'bce',
    'code': 'loss = -target * torch.log(p + eps) + (1 - target) * torch.log(1 - p + eps)',
    'static': False,
    'severity': 'error',
    'keywords': ['sign', 'minus', 'parenthes', 'negative', 'wrong'],
    'also': ['loss'],
}
FIX = [
    ('-target * torch.log(p + eps) + (1 - target)', '-target * torch.log(p + eps) - (1 - target)'),
]


def tags(n, seed, d=12, k=5):
    w = torch.randn(d, k, generator=torch.Generator().manual_seed(4))
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, (x @ w > 1).float()


def bce(logits, target, eps=1e-6):
    p = torch.sigmoid(logits)
    loss = -target * torch.log(p + eps) + (1 - target) * torch.log(1 - p + eps)
    return loss.mean()


def build():
    return {
        "model": nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 5)),
        "train_set": TensorDataset(*tags(300, 0)),
        "val_set": TensorDataset(*tags(200, 1)),
        "loss": bce,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
