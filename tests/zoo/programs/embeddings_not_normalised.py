"""A contrastive loss divides products of embeddings by a temperature, and they are not normalised."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "embeddings-not-normalised",
    "rule": "embeddings-not-normalised",
    "class": "embeddings-not-normalised",
    "where": 'contrastive',
    "code": 'a @ b.T / 0.07',
    "static": False,
    "severity": "warning",
    "keywords": ['normal', 'cosine'],
}
FIX = [
    ('a, b = z.unbind(1)', 'a, b = F.normalize(z, dim=-1).unbind(1)'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


def pairs(n, seed):
    x, y = blobs(n, seed)
    g = torch.Generator().manual_seed(seed + 100)
    return torch.stack([x, x + 0.3 * torch.randn(x.shape, generator=g)], 1), y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


def contrastive(z, _):
    a, b = z.unbind(1)
    return F.cross_entropy(a @ b.T / 0.07, torch.arange(len(a)))


def build():
    return {
        "model": nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 16)),
        **sets(pairs),
        "loss": contrastive,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 32,
    }
