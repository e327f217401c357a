"""Pos weight vector upside down."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'pos-weight-vector-upside-down',
    'rule': 'class-weights-upside-down',
    'class': 'class-weights-upside-down',
    'where': 'pos_weight',
    'code': 'pos_weight = counts / (len(y) - counts)',
    'static': False,
    'severity': 'warning',
    'keywords': ['pos_weight', 'rare', 'invert', 'imbalance', 'upside'],
    'also': ['loss', 'BCEWithLogitsLoss'],
}
FIX = [
    ('counts / (len(y) - counts)', '(len(y) - counts) / counts'),
]


def tags(n, seed, d=12, k=5):
    w = torch.randn(d, k, generator=torch.Generator().manual_seed(4))
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, (x @ w > torch.linspace(1.5, 4, k)).float()


def make_loss():
    _, y = tags(300, 0)
    counts = y.sum(0) + 1
    pos_weight = counts / (len(y) - counts)
    return nn.BCEWithLogitsLoss(pos_weight=pos_weight)


def build():
    return {
        "model": nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 5)),
        "train_set": TensorDataset(*tags(300, 0)),
        "val_set": TensorDataset(*tags(200, 1)),
        "loss": make_loss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
