"""Correct: an autoencoder of one number."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    t = torch.rand(n, 1, generator=g) * 2 - 1
    x = torch.cat([t, t**2, t.sin(), (2 * t).cos(), t**3, t.exp()], 1) + 0.02 * torch.randn(n, 6, generator=g)
    return x, x


def build():
    return {
        "model": nn.Sequential(
            nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 1), nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 6)
        ),
        "train_set": TensorDataset(*data(160, 0)),
        "val_set": TensorDataset(*data(100, 1)),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
        "batch_size": 32,
    }
