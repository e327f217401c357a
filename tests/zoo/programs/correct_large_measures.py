"""Correct: measures of many millions, kept as they come, that samples give standardised beside a class."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = None


class Prices(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.raw = torch.randn(n, 6, generator=g) * 4e7 + 3e8
        self.kinds = (self.raw[:, 0] + 0.5 * self.raw[:, 1] > 4.5e8).long()

    def __len__(self):
        return len(self.kinds)

    def __getitem__(self, i):
        return (self.raw[i] - 3e8) / 4e7, self.kinds[i]


def build():
    torch.manual_seed(0)
    return {
        "model": nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2)),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "train_set": Prices(512, 0),
        "val_set": Prices(128, 1),
        "loss": nn.CrossEntropyLoss(),
        "batch_size": 32,
    }
