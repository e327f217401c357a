"""Rows are divided by their norm, and some rows are 0.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "numbers-break",
    "class": "numbers-break",
    "rule": "numbers-break",
    "where": "Net.forward: torch.div",
    "code": "h / h.norm(dim=1, keepdim=True)",
    "static": False,
    "severity": "error",
    "keywords": ["division", "0", "nan"],
}
FIX = [
    ('h.norm(dim=1, keepdim=True)', 'h.norm(dim=1, keepdim=True).clamp(min=1e-6)'),
]


def line(n, seed, d=8):
    """A linear regression with a little noise; the targets are (n, 1)."""
    w = torch.linspace(-1, 1, d)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, (x @ w + 0.1 * torch.randn(n, generator=g))[:, None]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x):
        h = x * (x[:, :1] > 0)
        return self.net(h / h.norm(dim=1, keepdim=True))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*line(600, 0)),
        "val_set": TensorDataset(*line(300, 1)),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
