"""The loop feeds x[:, 0] in every step instead of x[:, t]."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'steps-unread',
    "rule": 'steps-unread',
    "class": 'recurrence',
    "where": 'forward',
    "code": 'h = self.cell(x[:, 0], h)',
    "static": False,
    "severity": 'error',
    "keywords": ['first step', 'never read', 'position', 'only', 'same step'],
}
FIX = [
    ('x[:, 0]', 'x[:, t]'),
]


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 10, 4, generator=g)
    return TensorDataset(x, x[:, :, 0].sum(1, keepdim=True))


class Loop(nn.Module):
    def __init__(self, size=24):
        super().__init__()
        self.size = size
        self.cell = nn.GRUCell(4, size)
        self.out = nn.Linear(size, 1)

    def forward(self, x):
        h = x.new_zeros(x.size(0), self.size)
        for t in range(x.size(1)):
            h = self.cell(x[:, 0], h)
        return self.out(h)


def build():
    return {"model": Loop(), "train_set": data(600, 0), "val_set": data(100, 1), "loss": nn.MSELoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 3e-3), "batch_size": 30}
