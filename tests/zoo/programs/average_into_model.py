"""The average is written into the model."""

import copy

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "average-into-model",
    "rule": "average-into-model",
    "class": "average-into-model",
    "where": 'train_step',
    "code": 'p.copy_(0.9 * a + 0.1 * p)',
    "static": False,
    "severity": "error",
    "keywords": ['average', 'wrong', 'weights'],
}
FIX = [
    ('p.copy_(0.9 * a + 0.1 * p)', 'a.copy_(0.9 * a + 0.1 * p)'),
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
    target = copy.deepcopy(model)

    def train_step(model, batch, loss, optimizer):
        x, y = batch
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        with torch.no_grad():
            for a, p in zip(target.parameters(), model.parameters()):
                p.copy_(0.9 * a + 0.1 * p)
        return value.item()

    return {"model": model, **sets(blobs), "loss": nn.CrossEntropyLoss(), "batch_size": 50, "train_step": train_step,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3)}
