"""Noise is added in ``forward`` whatever the mode: two evaluations of one sample differ.

A repeated forward pass in ``eval()`` shows it.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "case46",
    "class": "mode-ignored",
    "where": "Net.forward: randn_like",
    "code": "torch.randn_like(x)",
    "static": True,
    "severity": "error",
    "keywords": ["random", "eval", "noise", "training"],
}
FIX = [
    ('torch.randn_like(x)', 'torch.randn_like(x) * self.training'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, x):
        return self.net(x + 1.5 * torch.randn_like(x))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
