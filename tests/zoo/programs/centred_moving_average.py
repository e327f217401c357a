"""A smoothed channel is computed with a centred window: it knows the next value, which is the target."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": 'features-from-future',
    "rule": 'features-from-future',
    "class": 'look-ahead',
    "where": 'make_series',
    "code": 'np.convolve(x, np.ones(5) / 5, mode="same")',
    "static": False,
    "severity": 'error',
    "keywords": ['future', 'look-ahead', 'leak', 'centred'],
}
FIX = [
    ('np.convolve(x, np.ones(5) / 5, mode="same")', 'np.convolve(x, np.ones(5) / 5)[:n]'),
]


def make_series(n, seed):
    r = np.random.default_rng(seed)
    x = np.zeros(n)
    for t in range(1, n):
        x[t] = 0.6 * x[t - 1] + r.normal()
    smooth = np.convolve(x, np.ones(5) / 5, mode="same")
    return torch.tensor(np.stack([x, smooth], 1), dtype=torch.float32)


class Windows(Dataset):
    def __init__(self, n, seed, length=16):
        self.series, self.length = make_series(n, seed), length

    def __len__(self):
        return len(self.series) - self.length

    def __getitem__(self, i):
        return self.series[i : i + self.length], self.series[i + self.length, :1]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 24, batch_first=True)
        self.fc = nn.Linear(24, 1)

    def forward(self, x):
        return self.fc(self.gru(x)[0][:, -1])


def build():
    return {"model": Net(), "train_set": Windows(1000, 0), "val_set": Windows(300, 1), "loss": nn.MSELoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 3e-3), "batch_size": 50}
