"""Inputs and labels are permuted apart, in both splits."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop302",
    "class": 'target-unrelated',
    "where": 'train_set',
    "code": 'x[torch.randperm',
    "static": False,
    "severity": 'error',
    "keywords": ['shuffl', 'misalign'],
    "rule": 'target-unrelated',
}
FIX = [
    ('x[torch.randperm(n, generator=g)]', 'x'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def shuffled(n, seed):
    x, y = blobs(n, seed)
    g = torch.Generator().manual_seed(seed + 5)
    x = x[torch.randperm(n, generator=g)]
    return x, y


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*shuffled(600, 0)),
        "val_set": TensorDataset(*shuffled(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
    }
