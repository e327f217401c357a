"""The loss holds the outputs against themselves."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "target-never-read",
    "rule": "target-never-read",
    "class": "target-never-read",
    "where": 'loss',
    "code": 'F.cross_entropy(scores, scores.softmax(1))',
    "static": False,
    "severity": "error",
    "keywords": ['target', 'labels'],
}
FIX = [
    ('F.cross_entropy(scores, scores.softmax(1))', 'F.cross_entropy(scores, target)'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


def criterion(scores, target):
    return F.cross_entropy(scores, scores.softmax(1))


def build():
    model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 4))
    return {"model": model, **sets(blobs), "loss": criterion, "batch_size": 50,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3)}
