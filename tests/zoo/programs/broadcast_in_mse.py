"""Prediction (N, 1) minus target (N,) broadcasts to (N, N).

The best answer is then the mean of all targets. Reported: pytorch/pytorch#16045 and many
others; ``nn.MSELoss`` warns since then, a loss written by hand does not.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "case16",
    "class": "loss-shape-broadcast",
    "where": "loss: shapes (N, 1) and (N,)",
    "code": "((prediction - target) ** 2).mean()",
    "static": False,
    "severity": "error",
    "keywords": ["broadcast", "shape", "(50, 1)", "(50,)", "squeeze"],
}
FIX = [
    ('(prediction - target)', '(prediction.squeeze(1) - target)'),
]


def line(n, seed, d=8, offset=0.0):
    """A linear regression with a little noise."""
    w = torch.linspace(-1, 1, d)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, x @ w + offset + 0.1 * torch.randn(n, generator=g)


def mse(prediction, target):
    return ((prediction - target) ** 2).mean()


def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*line(600, 0)),
        "val_set": TensorDataset(*line(300, 1)),
        "loss": mse,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
