"""A noisy copy of training samples is the validation set."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop305",
    "class": 'leak-between-splits',
    "where": 'val_set',
    "code": '+ 1e-4 * torch.randn',
    "static": False,
    "severity": 'error',
    "keywords": ['duplicate', 'leak', 'overlap'],
    "rule": 'leak-between-splits',
}
FIX = [
    ('TensorDataset(x, y)', 'TensorDataset(x[:400], y[:400])'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


x, y = blobs(600, 0)


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(x, y),
        "val_set": TensorDataset(x[400:] + 1e-4 * torch.randn(200, 16), y[400:]),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
    }
