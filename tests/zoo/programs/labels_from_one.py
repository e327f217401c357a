"""Labels are 1..4, and the head counts from 0."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop310",
    "class": 'class-beyond-head',
    "where": 'train_set',
    "code": 'TensorDataset(*from_one(600, 0))',
    "static": False,
    "severity": 'error',
    "keywords": ['label', 'class'],
    "rule": 'class-beyond-head',
}
FIX = [
    ('y + 1', 'y'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def from_one(n, seed):
    x, y = blobs(n, seed)
    return x, y + 1


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*from_one(600, 0)),
        "val_set": TensorDataset(*from_one(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
    }
