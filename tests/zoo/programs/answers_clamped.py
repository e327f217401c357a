"""A clamp in the place of a sigmoid."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'answers-clamped',
    "rule": 'answers-clamped',
    "class": 'answers-clamped',
    "where": 'Net.forward',
    "code": 'return self.out(h).clamp(0, 1)',
    "static": False,
    "severity": 'warning',
    "keywords": ['clamp', 'gradient', 'range'],
}
FIX = [
    ('.clamp(0, 1)', '.sigmoid()'),
]


def houses(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=g)
    w = torch.randn(8, generator=torch.Generator().manual_seed(99))
    y = torch.sin(x @ w / 2) + 0.5 * x[:, 0] * x[:, 1] + 0.1 * torch.randn(n, generator=g)
    return TensorDataset(x, torch.sigmoid(2 * y[:, None]))


TRAIN, VAL, LOSS = houses(480, 0), houses(200, 1), nn.MSELoss()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 64), nn.ReLU())
        self.out = nn.Linear(64, 1)

    def forward(self, x):
        h = self.body(x)
        return self.out(h).clamp(0, 1)


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
