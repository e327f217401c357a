"""601 samples in batches of 50: the last batch has one, and batch norm refuses it.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "last-batch-fails",
    "class": "last-batch-fails",
    "rule": "last-batch-fails",
    "where": "batch_size",
    "code": "nn.BatchNorm1d(32)",
    "static": False,
    "severity": "error",
    "keywords": ["last batch", "drop_last"],
}
FIX = [
    ('blobs(601, 0)', 'blobs(600, 0)'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*blobs(601, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
