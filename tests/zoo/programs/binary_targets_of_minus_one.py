"""BCEWithLogitsLoss with labels -1 and 1: the loss has no lower bound.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "binary-targets-outside",
    "class": "binary-targets-outside",
    "rule": "binary-targets-outside",
    "where": "loss: BCEWithLogitsLoss",
    "code": "nn.BCEWithLogitsLoss()",
    "static": False,
    "severity": "error",
    "keywords": ["targets", "0..1", "-1"],
}
FIX = [
    ('loss(scores, 2 * target - 1)', 'loss(scores, target)'),
]


def binary(n, seed):
    """Two classes, 0 and 1, as floats (n, 1)."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 16, generator=g)
    return x, (x[:, :1] + x[:, 1:2] > 0).float()


loss = nn.BCEWithLogitsLoss()


def signed(scores, target):
    return loss(scores, 2 * target - 1)


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*binary(600, 0)),
        "val_set": TensorDataset(*binary(300, 1)),
        "loss": signed,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
