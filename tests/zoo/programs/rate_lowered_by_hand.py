"""The step lowers the rate by a tenth each time."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "rate-lowered-by-hand",
    "rule": "schedule-dies",
    "class": "schedule-dies",
    "where": 'lr',
    "code": 'group["lr"] *= 0.9',
    "static": False,
    "severity": "error",
    "keywords": ['rate', 'falls', 'nothing'],
}
FIX = [
    ('group["lr"] *= 0.9', 'group["lr"] *= 0.9999'),
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
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] *= 0.9
        return value.item()

    return {"model": model, **sets(blobs), "loss": nn.CrossEntropyLoss(), "batch_size": 20, "train_step": train_step,
            "epochs": 20, "make_optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.1)}
