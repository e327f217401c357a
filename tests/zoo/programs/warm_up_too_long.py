"""A warm-up of 50,000 steps in a run of 240."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "warm-up-too-long",
    "rule": "warm-up-too-long",
    "class": "warm-up-too-long",
    "where": 'scheduler',
    "code": 'min(1.0, (step + 1) / 50_000)',
    "static": False,
    "severity": "warning",
    "keywords": ['warm', 'rises', 'never reaches'],
}
FIX = [
    ('50_000', '50'),
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
    return {"model": model, **sets(blobs), "loss": nn.CrossEntropyLoss(), "batch_size": 50, "epochs": 20,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3), "scheduler_interval": "step",
            "make_scheduler": lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: min(1.0, (step + 1) / 50_000))}
