"""A window of 24 steps of which the last one is read."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'window-read-at-its-end',
    "rule": 'steps-unread',
    "class": 'steps-unread',
    "where": 'Net.forward',
    "code": 'h = F.relu(self.inp(x[:, -1]))',
    "static": False,
    "severity": 'warning',
    "keywords": ['last step', 'window', 'time'],
}
FIX = [
    ('self.inp = nn.Linear(2, 64)', 'self.inp = nn.Linear(48, 64)'),
    ('x[:, -1]', 'x.flatten(1)'),
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
        self.inp = nn.Linear(2, 64)
        self.mid = nn.Linear(64, 64)
        self.head = nn.Linear(64, 3)

    def forward(self, x):
        h = F.relu(self.inp(x[:, -1]))
        return self.head(F.relu(self.mid(h)))


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
