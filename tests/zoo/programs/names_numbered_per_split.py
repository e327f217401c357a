"""Product names are numbered by np.unique in each split, so the same product has two numbers."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": 'vocabulary-per-split',
    "rule": 'vocabulary-per-split',
    "class": 'vocab',
    "where": 'val_set',
    "code": 'names, self.ids = np.unique(self.raw, return_inverse=True)',
    "static": False,
    "severity": 'error',
    "keywords": ['vocab', 'differ', 'mapping', 'index', 'ids', 'numbered'],
}
FIX = [
    ('Sales(200, 1)', 'Sales(200, 1, train.names)'),
]


PRODUCTS = np.array([f"p{k:02d}" for k in range(30)])
PRICE = np.random.default_rng(5).normal(size=30)


class Sales(Dataset):
    def __init__(self, n, seed, names=None):
        r = np.random.default_rng(seed)
        pick = r.integers(0, 30 - 8 * (seed == 1), n) + 8 * (seed == 1)
        self.raw = PRODUCTS[pick]
        if names is None:
            names, self.ids = np.unique(self.raw, return_inverse=True)
        else:
            self.ids = np.searchsorted(names, self.raw)
        self.names = names
        self.y = (PRICE[pick] + 0.1 * r.normal(size=n)).astype(np.float32)

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, i):
        return torch.tensor(self.ids[i]), self.y[i]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(30, 8)
        self.fc = nn.Linear(8, 1)

    def forward(self, i):
        return self.fc(self.emb(i)).squeeze(-1)


def build():
    train = Sales(900, 0)
    val = Sales(200, 1)
    return {"model": Net(), "train_set": train, "val_set": val, "loss": nn.MSELoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 1e-2), "batch_size": 30}
