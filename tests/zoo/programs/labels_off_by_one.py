"""A data set pairs each input with the label of the next sample."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "loop303",
    "class": 'target-of-neighbour',
    "where": 'train_set',
    "code": 'self.y[i + 1]',
    "static": False,
    "severity": 'error',
    "keywords": ['misalign', 'neighbour', 'index'],
    "rule": 'target-of-neighbour',
}
FIX = [
    ('[i + 1]', '[i]'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Blobs(Dataset):
    def __init__(self, n, seed):
        self.x, self.y = blobs(n + 1, seed)

    def __len__(self):
        return len(self.x) - 1

    def __getitem__(self, i):
        return self.x[i], self.y[i + 1]


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": Blobs(600, 0),
        "val_set": Blobs(300, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
    }
