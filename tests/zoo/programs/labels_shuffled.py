"""The labels of the training set are shuffled, and its inputs are not."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop301",
    "class": 'target-unrelated',
    "where": 'train_set',
    "code": 'y[order]',
    "static": False,
    "severity": 'error',
    "keywords": ['shuffl', 'misalign', 'unrelated'],
    "rule": 'target-unrelated',
}
FIX = [
    ('y[order]', 'y'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def shuffled(n, seed):
    x, y = blobs(n, seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(5))
    return x, y[order]


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*shuffled(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
    }
