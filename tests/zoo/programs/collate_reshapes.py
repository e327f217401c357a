"""The collate function stacks along the wrong dimension and reshapes."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "data719",
    "class": "collate-mixes",
    "where": "collate",
    "code": "def collate(samples)",
    "static": False,
    "severity": "error",
    "keywords": ["mix"],
    "rule": "collate-mixes",
}
FIX = [
    ("xs, 1).reshape(len(xs), -1)", "xs)"),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


x, y = blobs(600, 0)


def collate(samples):
    xs, ys = zip(*samples, strict=True)
    return torch.stack(xs, 1).reshape(len(xs), -1), torch.stack(ys)


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
