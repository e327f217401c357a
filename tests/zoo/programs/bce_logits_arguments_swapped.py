"""Bce logits arguments swapped."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'bce-logits-arguments-swapped',
    'rule': 'arguments-swapped',
    'class': 'arguments-swapped',
    'where': 'loss',
    'code': 'return F.binary_cross_entropy_with_logits(y, logits)',
    'static': False,
    'severity': 'error',
    'keywords': ['swap', 'argument', 'order', 'target', 'first'],
    'also': ['criterion'],
}
FIX = [
    ('(y, logits)', '(logits, y)'),
]


def tags(n, seed, d=12, k=5):
    w = torch.randn(d, k, generator=torch.Generator().manual_seed(4))
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, (x @ w > 1).float()


def criterion(logits, y):
    return F.binary_cross_entropy_with_logits(y, logits)


def build():
    return {
        "model": nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 5)),
        "train_set": TensorDataset(*tags(300, 0)),
        "val_set": TensorDataset(*tags(200, 1)),
        "loss": criterion,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
