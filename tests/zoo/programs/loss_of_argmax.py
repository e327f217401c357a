"""The loss is computed from ``argmax``, which has no gradient.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loss-without-gradient",
    "class": "loss-without-gradient",
    "where": "loss: argmax",
    "code": "scores.argmax(1).float()",
    "static": False,
    "severity": "error",
    "keywords": ["gradient", "argmax"],
}
FIX = [
    ('((scores.argmax(1).float() - target) ** 2).mean()', 'F.cross_entropy(scores, target)'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def loss(scores, target):
    return ((scores.argmax(1).float() - target) ** 2).mean()


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
