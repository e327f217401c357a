"""The head is replaced after the optimizer was made."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop227",
    "class": 'stale-parameters',
    "where": 'make_optimizer',
    "code": 'torch.optim.SGD',
    "static": False,
    "severity": 'error',
    "keywords": ['optimizer'],
    "rule": 'stale-parameters',
}
FIX = [
    ('    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n    model[2] = nn.Linear(32, 4)\n    return optimizer', '    return torch.optim.SGD(model.parameters(), lr=0.1)'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def make_optimizer(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model[2] = nn.Linear(32, 4)
    return optimizer


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": make_optimizer,
        "batch_size": 50,
    }
