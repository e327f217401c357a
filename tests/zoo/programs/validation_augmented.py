"""The validation set gets the noise of the training set."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "loop319",
    "class": 'validation-random',
    "where": 'val_set',
    "code": 'Blobs(300, 1, noise=0.3)',
    "static": False,
    "severity": 'warning',
    "keywords": ['random', 'augment'],
    "rule": 'validation-random',
}
FIX = [
    ('Blobs(300, 1, noise=0.3)', 'Blobs(300, 1)'),
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
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i] + self.noise * torch.randn(16), self.y[i]


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": Blobs(600, 0, noise=0.3),
        "val_set": Blobs(300, 1, noise=0.3),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
    }
