"""BCELoss on raw scores: it raises as soon as one lies out of 0..1.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "raw-scores-into-bce",
    "class": "raw-scores-into-bce",
    "rule": "raw-scores-into-bce",
    "where": "loss: BCELoss",
    "code": "nn.BCELoss()",
    "static": False,
    "severity": "error",
    "keywords": ["raw scores", "sigmoid", "BCEWithLogitsLoss"],
}
FIX = [
    ('nn.BCELoss()', 'nn.BCEWithLogitsLoss()'),
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
        "loss": nn.BCELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
