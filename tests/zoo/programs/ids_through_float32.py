"""Customer ids of nine digits pass through float32, where 64 neighbours become one, before they are hashed."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'seven-c19',
    "class": 'rounded-in-float32',
    "where": 'customers',
    "code": 'ids = torch.tensor(raw, dtype=torch.float32)',
    "static": False,
    "severity": 'error',
    "keywords": ['float32', 'precision', 'rounding', 'integer', '2**24', '16777216'],
    "rule": 'rounded-in-float32',
}
FIX = [
    ('torch.tensor(raw, dtype=torch.float32)', 'torch.tensor(raw, dtype=torch.int64)'),
]


def customers(n, seed, k=24):
    taste = torch.randn(k, generator=torch.Generator().manual_seed(2))
    rng = np.random.default_rng(seed)
    which = rng.integers(0, k, n)
    raw = (900_000_000 + which).tolist()
    ids = torch.tensor(raw, dtype=torch.float32)
    rows = ids.long() % 1000 % 32
    basket = torch.from_numpy(rng.normal(size=(n, 3)).astype(np.float32))
    return TensorDataset(rows, basket, taste[which][:, None] + basket[:, :1])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(32, 8)
        self.net = nn.Sequential(nn.Linear(11, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, rows, basket):
        return self.net(torch.cat([self.embed(rows), basket], 1))


def build():
    return {
        "model": Net(),
        "train_set": customers(800, 0),
        "val_set": customers(300, 1),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
