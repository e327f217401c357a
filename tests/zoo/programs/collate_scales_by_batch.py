"""The collate function normalises by the figures of the batch."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "data720",
    "class": "collate-mixes",
    "where": "collate",
    "code": "def collate(samples)",
    "static": False,
    "severity": "warning",
    "keywords": ["batch"],
    "rule": "collate-mixes",
}
FIX = [
    ("(x - x.mean(0)) / (x.std(0, correction=0) + 1e-6)", "x / 1.3"),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


x, y = blobs(600, 0)


def collate(samples):
    x = torch.stack([x for x, _ in samples])
    return (x - x.mean(0)) / (x.std(0, correction=0) + 1e-6), torch.stack([y for _, y in samples])


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(x[:450], y[:450]),
        "val_set": TensorDataset(x[450:], y[450:]),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "collate": collate,
    }
