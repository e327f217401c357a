"""1e-8 is 0 in float16: the safeguard of a division is none.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "safeguard-lost",
    "class": "safeguard-lost",
    "rule": "safeguard-lost",
    "where": "Net.forward: add",
    "code": "h.abs() + 1e-8",
    "static": False,
    "severity": "error",
    "keywords": ["float16", "1e-08"],
}
FIX = [
    ('h.abs() + 1e-8', 'h.abs() + 1e-3'),
]
ODD = True  # repaired, it keeps another oddity that a finding may rightly name


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
        h = self.net(x).half()
        return (h / (h.abs() + 1e-8)).float()


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*line(600, 0)),
        "val_set": TensorDataset(*line(300, 1)),
        "loss": nn.L1Loss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
