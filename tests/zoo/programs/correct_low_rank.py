"""Correct: a linear autoencoder (PCA): two linear layers by design.
"""

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


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 3), nn.Linear(3, 16)),
        "train_set": TensorDataset(blobs(600, 0)[0], blobs(600, 0)[0]),
        "val_set": TensorDataset(blobs(300, 1)[0], blobs(300, 1)[0]),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
