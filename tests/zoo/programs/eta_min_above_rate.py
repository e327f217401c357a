"""A cosine that ends above where it begins."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "eta-min-above-rate",
    "rule": "schedule-grows",
    "class": "schedule-grows",
    "where": 'eta_min',
    "code": 'eta_min=1e-2',
    "static": False,
    "severity": "warning",
    "keywords": ['eta_min', 'rises', 'above'],
}
FIX = [
    ('eta_min=1e-2', 'eta_min=1e-5'),
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
            "make_scheduler": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=30, eta_min=1e-2)}
