"""The series is standardised before it is split by time: the training inputs know mean and scale of the future."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": 'scaled-before-split',
    "rule": 'scaled-before-split',
    "class": 'look-ahead',
    "where": 'build',
    "code": 'series = (series - series.mean()) / series.std()',
    "static": False,
    "severity": 'info',
    "keywords": ['whole', 'split', 'leak', 'statistics', 'future'],
}
FIX = [
    ('(series - series.mean()) / series.std()', '(series - series[:900].mean()) / series[:900].std()'),
]


def read(n, seed=0):
    g = torch.Generator().manual_seed(seed)
    t = torch.arange(n)
    return 0.02 * t + torch.sin(t / 8) + 0.2 * torch.randn(n, generator=g)


class Windows(Dataset):
    def __init__(self, s, length=16):
        self.s, self.length = s, length

    def __len__(self):
        return len(self.s) - self.length

    def __getitem__(self, i):
        return self.s[i : i + self.length, None], self.s[i + self.length, None]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(1, 24, batch_first=True)
        self.fc = nn.Linear(24, 1)

    def forward(self, x):
        return self.fc(self.gru(x)[0][:, -1])


def build():
    series = read(1200)
    series = (series - series.mean()) / series.std()
    train, val = series[:900], series[900:]
    return {"model": Net(), "train_set": Windows(train), "val_set": Windows(val), "loss": nn.MSELoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 3e-3), "batch_size": 30}
