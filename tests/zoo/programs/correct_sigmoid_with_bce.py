"""Correct: probabilities and BCELoss.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def tags(n, seed, k=5):
    """Samples of which several of ``k`` labels may be true."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 16, generator=g)
    return x, (x[:, :k] > 0).float()


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 5), nn.Sigmoid()),
        "train_set": TensorDataset(*tags(600, 0)),
        "val_set": TensorDataset(*tags(300, 1)),
        "loss": nn.BCELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
