"""Correct: standardised inputs with a few outliers."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None



def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def outliers(n, seed):
    x, y = blobs(n, seed)
    x[::97, 3] = 400.0
    return x, y


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*outliers(600, 0)),
        "val_set": TensorDataset(*outliers(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
