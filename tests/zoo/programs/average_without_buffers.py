"""A moving average of the weights with the running statistics of the start."""

import copy

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "average-without-buffers",
    "rule": "average-without-buffers",
    "class": "average-without-buffers",
    "where": 'average',
    "code": 'for a, p in zip(average.parameters(), model.parameters()):',
    "static": False,
    "severity": "error",
    "keywords": ['buffer', 'running', 'statistics'],
}
FIX = [
    ('a.mul_(0.99).add_(p, alpha=0.01)', 'a.mul_(0.99).add_(p, alpha=0.01)\n            for a, p in zip(average.buffers(), model.buffers()):\n                a.copy_(p)'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


def build():
    model = nn.Sequential(nn.Linear(10, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 4))
    average = copy.deepcopy(model).eval()

    def train_step(model, batch, loss, optimizer):
        x, y = batch
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        with torch.no_grad():
            for a, p in zip(average.parameters(), model.parameters()):
                a.mul_(0.99).add_(p, alpha=0.01)
        return value.item()

    @torch.no_grad()
    def evaluate(model, data):
        x, y = data.tensors
        return (average(x).argmax(1) == y).float().mean().item()

    return {"model": model, **sets(blobs), "loss": nn.CrossEntropyLoss(), "batch_size": 50, "train_step": train_step,
            "evaluate": evaluate, "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3)}
