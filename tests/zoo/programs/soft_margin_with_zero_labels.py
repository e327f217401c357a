"""SoftMarginLoss takes labels -1 and 1, and is given 0 and 1.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "labels-not-signed",
    "class": "labels-not-signed",
    "rule": "labels-not-signed",
    "where": "loss: soft_margin_loss",
    "code": "nn.SoftMarginLoss()",
    "static": False,
    "severity": "error",
    "keywords": ["-1", "0 and 1"],
}
FIX = [
    ('nn.SoftMarginLoss()', 'nn.BCEWithLogitsLoss()'),
]


def binary(n, seed):
    """Two classes, 0 and 1, as floats (n, 1)."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 16, generator=g)
    return x, (x[:, :1] + x[:, 1:2] > 0).float()


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*binary(600, 0)),
        "val_set": TensorDataset(*binary(300, 1)),
        "loss": nn.SoftMarginLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
