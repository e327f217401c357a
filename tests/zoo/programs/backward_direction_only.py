"""h_n[-1] of a bidirectional GRU is the backward direction alone."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'one-direction',
    "rule": 'one-direction',
    "class": 'direction',
    "where": 'forward',
    "code": 'return self.fc(h_n[-1])',
    "static": False,
    "severity": 'warning',
    "keywords": ['bidirectional', 'direction', 'backward'],
}
FIX = [
    ('nn.Linear(16, 2)', 'nn.Linear(32, 2)'),
    ('self.fc(h_n[-1])', 'self.fc(torch.cat([h_n[-2], h_n[-1]], 1))'),
]


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 2, (n,), generator=g)
    x = torch.randn(n, 20, 3, generator=g)
    x[:, -1, 0] += 2.0 * (2 * y - 1)
    return TensorDataset(x, y)


class BiGRU(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 16, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(16, 2)

    def forward(self, x):
        _, h_n = self.gru(x)
        return self.fc(h_n[-1])


def build():
    return {"model": BiGRU(), "train_set": data(500, 0), "val_set": data(100, 1), "loss": nn.CrossEntropyLoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 3e-3), "batch_size": 25}
