"""The list of samples is a mutable default: the training set also holds the validation samples."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "data_in_mutable_default",
    "rule": "mutable-default",
    "class": "mutable-default",
    "where": "Data.__init__",
    "code": "samples=[]):",
    "static": True,
    "severity": "error",
    "keywords": ["default", "shared"],
}
FIX = [
    ("samples=[]", "samples=None"),
    ("self.samples = samples", "self.samples = [] if samples is None else samples"),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Data(Dataset):
    def __init__(self, n, seed, samples=[]):
        self.samples = samples
        for x, y in zip(*blobs(n, seed)):
            self.samples.append((x, y))

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, i):
        return self.samples[i]


def build():
    return {
        "model": nn.Linear(16, 4),
        "train_set": Data(100, 0),
        "val_set": Data(50, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
