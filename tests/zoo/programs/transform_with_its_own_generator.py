"""A transform keeps its own ``random.Random``; each worker gets a copy in the same state."""

import random

import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

BUG = {
    "id": "transform_with_its_own_generator",
    "rule": "worker-generator",
    "class": "worker-generator",
    "where": "transform.random",
    "code": "self.random = random.Random(1)",
    "static": True,
    "severity": "error",
    "keywords": ["worker", "identical"],
}
FIX = [
    ("self.random = random.Random(1)", "pass"),
    ("self.random.uniform", "random.uniform"),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Noise:
    def __init__(self):
        self.random = random.Random(1)

    def __call__(self, x):
        return x * self.random.uniform(0.9, 1.1)


class Data(Dataset):
    def __init__(self, t):
        self.x, self.y = blobs(200, 0)
        self.transform = t

    def __len__(self):
        return 200

    def __getitem__(self, i):
        return self.transform(self.x[i]), self.y[i]


def build():
    return {
        "model": nn.Linear(16, 4),
        "train_set": torch.utils.data.Subset(Data(Noise()), range(150)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "num_workers": 4,
    }
