"""A channel for each time step."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'batch-norm-of-time-steps',
    "rule": 'norm-along-time',
    "class": 'norm-along-time',
    "where": 'norm',
    "code": 'self.norm = nn.BatchNorm1d(24)',
    "static": False,
    "severity": 'warning',
    "keywords": ['BatchNorm', 'time', 'channel'],
}
FIX = [
    ('nn.BatchNorm1d(24)', 'nn.BatchNorm1d(32)'),
    ('self.norm(self.inp(x))', 'self.norm(self.inp(x).transpose(1, 2)).transpose(1, 2)'),
]


def waves(n, seed, length=24):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=g)
    t = torch.arange(length).float()
    phase = 6.28 * torch.rand(n, 1, generator=g)
    x = torch.sin(t * (0.3 + 0.25 * y[:, None]) + phase) + 0.3 * torch.randn(n, length, generator=g)
    return TensorDataset(torch.stack([x, x.roll(1, 1) - x], 2), y)


TRAIN, VAL, LOSS = waves(400, 0), waves(160, 1), nn.CrossEntropyLoss()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inp = nn.Linear(2, 32)
        self.norm = nn.BatchNorm1d(24)
        self.gru = nn.GRU(32, 32, batch_first=True)
        self.head = nn.Linear(32, 3)

    def forward(self, x):
        _, h = self.gru(F.relu(self.norm(self.inp(x))))
        return self.head(h[-1])


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
