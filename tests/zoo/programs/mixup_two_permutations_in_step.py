"""Mixup in the training step: the labels are those of another permutation."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "mixup-two-permutations-in-step",
    "rule": "labels-of-other-mixture",
    "class": "labels-of-other-mixture",
    "where": 'mixed',
    "code": 'y[torch.randperm(len(y))]',
    "static": False,
    "severity": "error",
    "keywords": ['permutation', 'mixup'],
}
FIX = [
    ('    x = lam * x + (1 - lam) * x[torch.randperm(len(x))]\n    return x, y, y[torch.randperm(len(y))], lam', '    partner = torch.randperm(len(x))\n    x = lam * x + (1 - lam) * x[partner]\n    return x, y, y[partner], lam'),
]


def photos(n, seed, k=5, size=8):
    base = torch.randn(k, 3, size, size, generator=torch.Generator().manual_seed(11)) * 0.7
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return base[y] + 0.8 * torch.randn(n, 3, size, size, generator=g), y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


def mixed(x, y):
    lam = float(torch.distributions.Beta(1.0, 1.0).sample())
    x = lam * x + (1 - lam) * x[torch.randperm(len(x))]
    return x, y, y[torch.randperm(len(y))], lam


def train_step(model, batch, loss, optimizer):
    x, y, other, lam = mixed(*batch)
    optimizer.zero_grad()
    out = model(x)
    value = lam * loss(out, y) + (1 - lam) * loss(out, other)
    value.backward()
    optimizer.step()
    return value.item()


def build():
    return {
        "model": nn.Sequential(nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 5)),
        **sets(photos),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 32,
        "train_step": train_step,
    }
