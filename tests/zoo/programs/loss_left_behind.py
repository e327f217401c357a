"""Only the last of two small batches goes backward."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loss-left-behind",
    "rule": "loss-left-behind",
    "class": "loss-left-behind",
    "where": 'train_step',
    "code": 'total = loss(model(part), labels)',
    "static": False,
    "severity": "warning",
    "keywords": ['backward', 'last', 'never'],
}
FIX = [
    ('total = loss(model(part), labels)', 'total = total + loss(model(part), labels) / 2'),
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
        total = 0.0
        for part, labels in zip(x.chunk(2), y.chunk(2)):
            total = loss(model(part), labels)
        total.backward()
        optimizer.step()
        return total.item()

    return {"model": model, **sets(blobs), "loss": nn.CrossEntropyLoss(), "batch_size": 64, "train_step": train_step,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3)}
