"""Inputs are shuffled within the step, targets are not."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "inputs-shuffled-alone",
    "rule": "inputs-shuffled-alone",
    "class": "inputs-shuffled-alone",
    "where": 'train_step',
    "code": 'x = x[torch.randperm(len(x))]',
    "static": False,
    "severity": "error",
    "keywords": ['label', 'target', 'shuffle', 'order'],
}
FIX = [
    ('x = x[torch.randperm(len(x))]', 'x = x + 0.01 * torch.randn_like(x)'),
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

    def train_step(model, batch, loss, optimizer):
        x, y = batch
        x = x[torch.randperm(len(x))]
        value = loss(model(x), y)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value.item()

    return {"model": model, **sets(blobs), "loss": nn.CrossEntropyLoss(), "batch_size": 20, "train_step": train_step,
            "make_optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.05)}
