"""The length of the data set is more than it stores."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "loop318",
    "class": 'wrong-length',
    "where": '__len__',
    "code": 'len(self.x) + 1',
    "static": False,
    "severity": 'error',
    "keywords": ['len', 'samples'],
    "rule": 'wrong-length',
}
FIX = [
    (' + 1', ''),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Blobs(Dataset):
    def __init__(self, n, seed, noise=0.0):
        self.x, self.y = blobs(n, seed)
        self.noise = noise

    def __len__(self):
        return len(self.x) + 1

    def __getitem__(self, i):
        return self.x[i] + self.noise * torch.randn(16), self.y[i]


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": Blobs(600, 0),
        "val_set": Blobs(300, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
    }
