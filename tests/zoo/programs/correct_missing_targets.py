"""Correct: missing targets are NaN, and the loss leaves them out."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


g = torch.Generator().manual_seed(0)
x = torch.randn(600, 8, generator=g)
y = torch.stack([x[:, 0] + x[:, 1], x[:, 2] * 2, x[:, 0] - x[:, 3]], 1) + 0.1 * torch.randn(600, 3, generator=g)
y[torch.rand(600, 3, generator=g) < 0.2] = float("nan")


def loss(output, target):
    known = ~target.isnan()
    return (output[known] - target[known]).square().mean()


def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3)),
        "train_set": TensorDataset(x[:450], y[:450]),
        "val_set": TensorDataset(x[450:], y[450:]),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
