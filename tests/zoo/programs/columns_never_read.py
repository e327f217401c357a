"""Half of the columns are left out."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'columns-never-read',
    "rule": 'columns-unread',
    "class": 'columns-unread',
    "where": 'Net.forward',
    "code": 'x = x[:, :4]',
    "static": False,
    "severity": 'warning',
    "keywords": ['unused', 'never read', 'ignored'],
}
FIX = [
    ('x = x[:, :4]\n', 'x = x[:, :8]\n'),
    ('nn.Linear(4, 64)', 'nn.Linear(8, 64)'),
]


def houses(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=g)
    w = torch.randn(8, generator=torch.Generator().manual_seed(99))
    y = torch.sin(x @ w / 2) + 0.5 * x[:, 0] * x[:, 1] + 0.1 * torch.randn(n, generator=g)
    return TensorDataset(x, y[:, None])


TRAIN, VAL, LOSS = houses(480, 0), houses(200, 1), nn.MSELoss()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, x):
        x = x[:, :4]
        return self.net(x)


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
