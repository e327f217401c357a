"""A similarity is minimised."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "similarity-minimised",
    "rule": "loss-with-wrong-sign",
    "class": "loss-with-wrong-sign",
    "where": 'loss',
    "code": 'F.cosine_similarity(output, target).mean()',
    "static": False,
    "severity": "error",
    "keywords": ['sign', 'away'],
}
FIX = [
    ('return F.cosine', 'return 1 - F.cosine'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


def word(n, seed):
    x, y = blobs(n, seed)
    return x, torch.randn(4, 6, generator=torch.Generator().manual_seed(5))[y] + 0.1 * x[:, :6]


def criterion(output, target):
    return F.cosine_similarity(output, target).mean()


def build():
    model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 6))
    return {"model": model, **sets(word), "loss": criterion, "batch_size": 50,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3)}
