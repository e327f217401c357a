"""Cross entropy of (N, T, C) where C has to be dim 1; T equals C, so nothing complains.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "class-dimension",
    "class": "class-dimension",
    "rule": "class-dimension",
    "where": "loss: cross_entropy",
    "code": "F.cross_entropy(scores, target)",
    "static": False,
    "severity": "error",
    "keywords": ["dim 1", "classes", "transpose"],
}
FIX = [
    ('F.cross_entropy(scores, target)', 'F.cross_entropy(scores.transpose(1, 2), target)'),
]


def steps(n, seed, t=6):
    """A class of six for each of six steps."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, t, 8, generator=g)
    return x, x[..., :6].argmax(-1)


def loss(scores, target):
    return F.cross_entropy(scores, target)


def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 6)),
        "train_set": TensorDataset(*steps(600, 0)),
        "val_set": TensorDataset(*steps(300, 1)),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
