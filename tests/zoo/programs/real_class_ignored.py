"""ignore_index is a class of the data."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "real-class-ignored",
    "rule": "class-ignored",
    "class": "class-ignored",
    "where": 'ignore_index',
    "code": 'ignore_index=0',
    "static": False,
    "severity": "error",
    "keywords": ['ignore'],
}
FIX = [
    ('nn.CrossEntropyLoss(ignore_index=0)', 'nn.CrossEntropyLoss()'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


def build():
    model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 4))
    return {"model": model, **sets(blobs), "loss": nn.CrossEntropyLoss(ignore_index=0), "batch_size": 50,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3)}
