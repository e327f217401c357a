"""A penalty of the weights is subtracted in the training step."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "penalty-subtracted-in-step",
    "rule": "penalty-subtracted",
    "class": "penalty-subtracted",
    "where": 'train_step',
    "code": 'value = loss(model(x), y) - 1e-4 * penalty',
    "static": False,
    "severity": "error",
    "keywords": ['penalty', 'sign'],
}
FIX = [
    ('loss(model(x), y) - 1e-4 * penalty', 'loss(model(x), y) + 1e-4 * penalty'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    penalty = sum(p.pow(2).sum() for p in model.parameters())
    value = loss(model(x), y) - 1e-4 * penalty
    value.backward()
    optimizer.step()
    return value.item()


def build():
    return {
        "model": nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 4)),
        **sets(blobs),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 32,
        "train_step": train_step,
    }
