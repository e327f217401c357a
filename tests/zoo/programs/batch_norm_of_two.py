"""Batch norm over batches of two: what is left of a feature is the sign of a difference."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "batch-norm-of-two",
    "rule": "batch-norm-of-few",
    "class": "batch-norm-small-batch",
    "where": "batch_size",
    "code": '"batch_size": 2',
    "static": False,
    "severity": "warning",
    "keywords": ["batch norm", "small batch"],
}
FIX = [
    ('"batch_size": 2', '"batch_size": 32'),
]


def points(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 12, generator=g)
    return x, (x[:, 0] * x[:, 1] + x[:, 2] > 0).long()


def build():
    return {
        "model": nn.Sequential(nn.Linear(12, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 2)),
        "train_set": TensorDataset(*points(400, 0)),
        "val_set": TensorDataset(*points(200, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 2,
    }
