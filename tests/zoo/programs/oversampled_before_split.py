"""A rare class is repeated before the split."""

import torch
from torch import nn
from torch.utils.data import TensorDataset, random_split

BUG = {
    "id": "data703",
    "class": "leak-between-splits",
    "where": "val_set",
    "code": "random_split(",
    "static": False,
    "severity": "error",
    "keywords": ["duplicate", "leak", "overlap"],
    "rule": "leak-between-splits",
}
FIX = [
    ("rare = (y == 3).nonzero()[:, 0].repeat(5)", "rare = torch.zeros(0).long()"),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


x, y = blobs(600, 0)
rare = (y == 3).nonzero()[:, 0].repeat(5)
x, y = torch.cat([x, x[rare]]), torch.cat([y, y[rare]])
train, val = random_split(TensorDataset(x, y), [0.8, 0.2], generator=torch.Generator().manual_seed(0))


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": train,
        "val_set": val,
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
