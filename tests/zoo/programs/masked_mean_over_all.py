"""Masked mean over all."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    'id': 'masked-mean-over-all',
    'rule': 'masked-mean-over-all',
    'class': 'masked-mean-over-all',
    'where': 'masked_mse',
    'code': 'return ((pred - y) ** 2 * mask).mean()',
    'static': False,
    'severity': 'warning',
    'keywords': ['mask', 'padding', 'divide', 'mean', 'valid', 'positions'],
    'also': ['loss'],
}
FIX = [
    ('return ((pred - y) ** 2 * mask).mean()', 'return ((pred - y) ** 2 * mask).sum() / mask.sum()'),
]


class Series(Dataset):
    def __init__(self, n, seed, t=20):
        g = torch.Generator().manual_seed(seed)
        self.x = torch.randn(n, t, 3, generator=g)
        self.y = self.x.sum(2).cumsum(1)
        length = torch.randint(3, t, (n, 1), generator=g)
        self.m = (torch.arange(t) < length).float()
        self.y = self.y * self.m

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return (self.x[i], self.m[i]), self.y[i]


class Rnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 32, batch_first=True)
        self.head = nn.Linear(32, 1)

    def forward(self, x, mask):
        return self.head(self.rnn(x)[0]).squeeze(2), mask


def masked_mse(out, y):
    pred, mask = out
    return ((pred - y) ** 2 * mask).mean()


def build():
    return {
        "model": Rnn(),
        "train_set": Series(300, 0),
        "val_set": Series(200, 1),
        "loss": masked_mse,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
