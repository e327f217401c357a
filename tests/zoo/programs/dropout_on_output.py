"""Dropout after the last layer.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "dropout-on-output",
    "class": "dropout-on-output",
    "rule": "dropout-on-output",
    "where": "3 (Dropout)",
    "code": "nn.Dropout(0.5)",
    "static": False,
    "severity": "warning",
    "keywords": ["dropout", "last"],
}
FIX = [
    (', nn.Dropout(0.5)', ''),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4), nn.Dropout(0.5)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
