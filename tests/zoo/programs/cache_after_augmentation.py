"""The data set caches its samples, after they were augmented: each sample has one augmentation for ever."""

import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

BUG = {
    "id": 'seven-c14',
    "class": 'augmented-once',
    "where": 'Cached.__getitem__',
    "code": 'self.cache[i] = (x, self.y[i])',
    "static": False,
    "severity": 'warning',
    "keywords": ['cache', 'augment', 'same', 'epoch'],
    "rule": 'augmented-once',
}
FIX = [
    ('            x = self.load(i)\n', '            self.cache[i] = (self.load(i), self.y[i])\n        x, y = self.cache[i]\n        if True:\n'),
    ('            self.cache[i] = (x, self.y[i])\n        return self.cache[i]', '        return x, y'),
]


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Cached(Dataset):
    def __init__(self, n, seed):
        self.raw, self.y = blobs(n, seed)
        self.cache = {}

    def load(self, i):
        return self.raw[i].clone()

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        if i not in self.cache:
            x = self.load(i)
            x = x * (1 + 0.1 * torch.randn(())) + 0.2 * torch.randn(16)
            self.cache[i] = (x, self.y[i])
        return self.cache[i]


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": Cached(600, 0),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
