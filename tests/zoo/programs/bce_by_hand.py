"""Binary cross entropy by hand without a safeguard: it breaks when the model is sure.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "unstable-form",
    "class": "unstable-form",
    "rule": "unstable-form",
    "where": "loss: torch.log",
    "code": "torch.log(1 - p)",
    "static": False,
    "severity": "warning",
    "keywords": ["sigmoid", "log", "nan"],
}
FIX = [
    ('return -(target * torch.log(p) + (1 - target) * torch.log(1 - p)).mean()', 'return F.binary_cross_entropy(p, target)'),
]


def binary(n, seed):
    """Two classes, 0 and 1, as floats (n, 1)."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 16, generator=g)
    return x, (x[:, :1] + x[:, 1:2] > 0).float()


def loss(scores, target):
    p = torch.sigmoid(scores)
    return -(target * torch.log(p) + (1 - target) * torch.log(1 - p)).mean()


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*binary(600, 0)),
        "val_set": TensorDataset(*binary(300, 1)),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
