"""Targets with fractions are cast to whole numbers in the loss.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "labels-cast",
    "class": "labels-cast",
    "rule": "labels-cast",
    "where": "loss: long",
    "code": "target.long()",
    "static": False,
    "severity": "error",
    "keywords": ["fraction"],
}
FIX = [
    ('target.long()', 'target'),
]


def soft(n, seed):
    """Targets that are distributions over four classes."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 16, generator=g)
    return x, torch.softmax(3 * x[:, :4], dim=1)


def loss(scores, target):
    return F.mse_loss(scores, target.long().float())


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*soft(600, 0)),
        "val_set": TensorDataset(*soft(300, 1)),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
