"""Classes are weighted by how often they occur, not by its inverse."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "class-weights-are-frequencies",
    "rule": "class-weights-upside-down",
    "class": "class-weights-upside-down",
    "where": 'weight',
    "code": 'counts / counts.sum()',
    "static": False,
    "severity": "warning",
    "keywords": ['weight', 'rare', 'frequen'],
}
FIX = [
    ('counts / counts.sum()', 'counts.sum() / counts / len(counts)'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


def rare(n, seed):
    x, y = blobs(4 * n, seed)
    keep = (y == 0) | (torch.rand(len(y), generator=torch.Generator().manual_seed(seed)) < 0.15)
    return x[keep][:n], y[keep][:n]


def build():
    data = sets(rare)
    counts = torch.bincount(data["train_set"].tensors[1], minlength=4).float()
    weight = counts / counts.sum()
    model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 4))
    return {"model": model, **data, "loss": nn.CrossEntropyLoss(weight=weight), "batch_size": 50,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3)}
