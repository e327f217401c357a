"""Correct: the collate function mixes samples and their targets at random (mixup)."""

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


x, y = blobs(600, 0)


def collate(samples):
    x, y = torch.stack([x for x, _ in samples]), torch.stack([y for _, y in samples])
    share, other = torch.rand(len(x), 1), torch.randperm(len(x))
    y = nn.functional.one_hot(y, 4).float()
    return share * x + (1 - share) * x[other], share * y + (1 - share) * y[other]


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(x[:450], y[:450]),
        "val_set": TensorDataset(x[450:], y[450:]),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "collate": collate,
    }
