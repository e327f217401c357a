"""Correct: a softplus before targets that are never negative.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def counts(n, seed, d=8):
    """Counts with a rate that depends on the input."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, torch.poisson((x @ torch.linspace(-0.5, 0.5, d)).exp(), generator=g)[:, None]


def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1), nn.Softplus()),
        "train_set": TensorDataset(*counts(600, 0)),
        "val_set": TensorDataset(*counts(300, 1)),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
