"""Means over batches are added up, and divided by the number of samples."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = {
    "id": "loop238",
    "class": 'figure-off-by-batch-size',
    "where": 'evaluate',
    "code": 'return right',
    "static": False,
    "severity": 'warning',
    "keywords": ['divide'],
    "rule": 'figure-off-by-batch-size',
}
FIX = [
    ('model(x), y)', 'model(x), y, reduction="sum")'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def evaluate(model, val_set):
    model.eval()
    right = 0.0
    with torch.no_grad():
        for x, y in DataLoader(val_set, batch_size=50):
            right += nn.functional.cross_entropy(model(x), y).item()
    return right / len(val_set)


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
        "evaluate": evaluate,
    }
