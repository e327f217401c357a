"""A triplet loss that pulls the negative and pushes the positive."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "triplet-sign",
    "rule": "triplet-turned",
    "class": "triplet-turned",
    "where": 'triplet',
    "code": 'F.relu(negative - positive + margin)',
    "static": False,
    "severity": "error",
    "keywords": ['sign', 'negative'],
}
FIX = [
    ('F.relu(negative - positive + margin)', 'F.relu(positive - negative + margin)'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


def triplets(n, seed):
    x, y = blobs(n, seed)
    g = torch.Generator().manual_seed(seed + 100)
    same = (y[:, None] == y).float()
    return torch.stack([x, x[torch.multinomial(same, 1, generator=g)[:, 0]], x[torch.multinomial(1 - same, 1, generator=g)[:, 0]]], 1), y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


class Embedder(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 8))

    def forward(self, x):
        return F.normalize(self.net(x), dim=-1)


def triplet(z, _, margin=0.5):
    anchor, same, other = z.unbind(1)
    positive = (anchor - same).pow(2).sum(1)
    negative = (anchor - other).pow(2).sum(1)
    return F.relu(negative - positive + margin).mean()


def build():
    return {
        "model": Embedder(),
        **sets(triplets),
        "loss": triplet,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 32,
    }
