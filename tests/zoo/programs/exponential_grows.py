"""A decay with a factor above 1."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "exponential-grows",
    "rule": "schedule-grows",
    "class": "schedule-grows",
    "where": 'ExponentialLR',
    "code": 'gamma=1.2',
    "static": False,
    "severity": "warning",
    "keywords": ['grows', 'raises', 'rate'],
}
FIX = [
    ('gamma=1.2', 'gamma=0.95'),
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
    return {"model": model, **sets(blobs), "loss": nn.CrossEntropyLoss(), "batch_size": 50, "epochs": 30,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
            "make_scheduler": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, gamma=1.2)}
