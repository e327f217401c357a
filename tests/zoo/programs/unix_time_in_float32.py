"""Seconds since 1970 in float32."""

import math

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'unix-time-in-float32',
    "rule": 'precision-lost',
    "class": 'precision-lost',
    "where": 'Net.forward',
    "code": 'seconds = x[:, :1]',
    "static": False,
    "severity": 'warning',
    "keywords": ['float32', 'precision', 'timestamp'],
}
FIX = [
    ('t = 1_700_000_000 + torch', 't = torch'),
]


def visits(n, seed):
    """Unix time of a visit and two numbers; the class hangs on the time of day."""
    g = torch.Generator().manual_seed(seed)
    t = 1_700_000_000 + torch.randint(0, 86_400 * 30, (n,), generator=g)
    y = ((t // 60) % 60 // 20).long()
    return TensorDataset(torch.stack([t.double(), torch.randn(n, generator=g).double()], 1).float(), y)


TRAIN, VAL, LOSS = visits(400, 0), visits(160, 1), nn.CrossEntropyLoss()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))

    def forward(self, x):
        seconds = x[:, :1]
        angle = seconds * (2 * math.pi / 3600)
        return self.net(torch.cat([torch.sin(angle), torch.cos(angle), x[:, 1:]], 1))


def build():
    return {
        "model": Net(),
        "train_set": TRAIN,
        "val_set": VAL,
        "loss": LOSS,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=2e-3),
        "batch_size": 32,
        "epochs": 8,
    }
