"""Mse on class ids."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'mse-on-class-ids',
    'rule': 'classes-as-numbers',
    'class': 'classes-as-numbers',
    'where': 'loss',
    'code': 'nn.MSELoss()',
    'static': False,
    'severity': 'warning',
    'keywords': ['CrossEntropy', 'class', 'regression', 'ordinal', 'categor', 'order'],
    'also': ['MSELoss', 'target', 'train_set'],
}
FIX = [
    ('nn.Linear(64, 1), nn.Flatten(0)', 'nn.Linear(64, 5)'),
    ('nn.MSELoss()', 'nn.CrossEntropyLoss()'),
    ('y.float()', 'y'),
]


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y

def flowers(n, seed):
    x, y = blobs(n, seed, k=5)
    return x, y.float()


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 1), nn.Flatten(0)),
        "train_set": TensorDataset(*flowers(300, 0)),
        "val_set": TensorDataset(*flowers(200, 1)),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
