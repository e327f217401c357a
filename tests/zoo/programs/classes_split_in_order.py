"""Samples sorted by class are cut into two: validation has classes that training has not."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop309",
    "class": 'unseen-class',
    "where": 'val_set',
    "code": 'TensorDataset(x[600:], y[600:])',
    "static": False,
    "severity": 'error',
    "keywords": ['class'],
    "rule": 'unseen-class',
}
FIX = [
    ('order = y.argsort()', 'order = torch.arange(len(y))'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def in_order():
    x, y = blobs(900, 0)
    order = y.argsort()
    return x[order], y[order]


x, y = in_order()


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(x[:600], y[:600]),
        "val_set": TensorDataset(x[600:], y[600:]),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
    }
