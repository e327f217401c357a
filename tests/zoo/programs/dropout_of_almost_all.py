"""The share to keep was given where the share to drop is asked for.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "dropout-too-high",
    "class": "dropout-too-high",
    "rule": "dropout-too-high",
    "where": "2 (Dropout)",
    "code": "nn.Dropout(0.95)",
    "static": False,
    "severity": "warning",
    "keywords": ["dropped", "p=0.95"],
}
FIX = [
    ('nn.Dropout(0.95)', 'nn.Dropout(0.05)'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Dropout(0.95), nn.Linear(32, 4)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
