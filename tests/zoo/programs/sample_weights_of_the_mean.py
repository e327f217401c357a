"""Weights of the samples multiply the mean loss of the batch."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "sample-weights-of-the-mean",
    "rule": "mean-before-weights",
    "class": "mean-before-weights",
    "where": 'loss',
    "code": 'ce = F.cross_entropy(logits, y.long())',
    "static": False,
    "severity": "warning",
    "keywords": ['reduction', 'per sample'],
}
FIX = [
    ('F.cross_entropy(logits, y.long())', 'F.cross_entropy(logits, y.long(), reduction="none")'),
]


def weighted(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), torch.stack([y.float(), 0.5 + torch.rand(n, generator=g)], 1)


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


def loss(logits, target):
    y, weight = target.unbind(1)
    ce = F.cross_entropy(logits, y.long())
    return (weight * ce).mean()


def build():
    return {
        "model": nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 4)),
        **sets(weighted),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 32,
    }
