"""A hand-written loop over an LSTMCell makes a fresh state in every step: nothing is remembered."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'state-made-anew',
    "rule": 'state-made-anew',
    "class": 'recurrence',
    "where": 'forward',
    "code": 'h = c = x.new_zeros(x.size(0), self.size)',
    "static": False,
    "severity": 'error',
    "keywords": ['state', 'reset', 'memory', 'last step', 'earlier steps', 'recurren'],
}
FIX = [
    ('        for t in range(x.size(1)):\n            h = c = x.new_zeros(x.size(0), self.size)\n', '        h = c = x.new_zeros(x.size(0), self.size)\n        for t in range(x.size(1)):\n'),
]


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 10, 4, generator=g)
    return TensorDataset(x, x[:, :, 0].sum(1, keepdim=True))


class Loop(nn.Module):
    def __init__(self, size=24):
        super().__init__()
        self.size = size
        self.cell = nn.LSTMCell(4, size)
        self.out = nn.Linear(size, 1)

    def forward(self, x):
        for t in range(x.size(1)):
            h = c = x.new_zeros(x.size(0), self.size)
            h, c = self.cell(x[:, t], (h, c))
        return self.out(h)


def build():
    return {"model": Loop(), "train_set": data(600, 0), "val_set": data(100, 1), "loss": nn.MSELoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 3e-3), "batch_size": 30}
