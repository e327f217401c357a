"""Correct: embeddings of another model as inputs, with a root mean square of 20, behind a norm."""

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


def embeddings(n, seed):
    x, y = blobs(n, seed)
    return 15 * x, y


def build():
    return {
        "model": nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*embeddings(600, 0)),
        "val_set": TensorDataset(*embeddings(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
