"""Correct: copies of stored data are changed, a cache is filled, reads are counted."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = None


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Data(Dataset):
    def __init__(self, seed):
        self.x, self.y = blobs(200, seed)
        self.cache = {}

    def __len__(self):
        return 200

    def __getitem__(self, i):
        x = self.x[i].clone()
        x += 0.1
        x.mul_(2)
        if i not in self.cache:
            self.cache[i] = x
        return self.cache[i], self.y[i]


def build():
    return {
        "model": nn.Linear(16, 4),
        "train_set": Data(0),
        "val_set": Data(1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
