"""__getitem__ draws its own random index: an epoch misses a third of the data."""

import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

BUG = {
    "id": 'seven-c16',
    "class": 'index-ignored',
    "where": 'Draws.__getitem__',
    "code": 'i = torch.randint(0, len(self.y), ()).item()',
    "static": False,
    "severity": 'warning',
    "keywords": ['index', 'random', 'ignore'],
    "rule": 'index-ignored',
}
FIX = [
    ('        i = torch.randint(0, len(self.y), ()).item()\n', ''),
]


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Draws(Dataset):
    def __init__(self, n, seed):
        self.x, self.y = blobs(n, seed)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        i = torch.randint(0, len(self.y), ()).item()
        return self.x[i], self.y[i]


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": Draws(600, 0),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
