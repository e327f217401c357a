"""A cross entropy by hand: ``log`` of a softmax that underflows to 0.

The loss is infinite and then NaN. The remedy is ``log_softmax`` / ``CrossEntropyLoss``; the
DeepStability database (ICSE 2022) is about such formulas.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "case33",
    "class": "nan-forward",
    "where": "loss: torch.log",
    "code": "torch.log(p)",
    "static": True,
    "severity": "error",
    "keywords": ["log", "nan", "inf", "log_softmax"],
}
FIX = [
    ('    p = F.softmax(scores, dim=1).gather(1, target[:, None])\n    return -torch.log(p).mean()\n', '    return F.cross_entropy(scores, target)\n'),
]
ODD = True  # repaired, it keeps another oddity that a finding may rightly name


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def loud(n, seed):
    x, y = blobs(n, seed)
    return x * 400, y


def loss(scores, target):
    p = F.softmax(scores, dim=1).gather(1, target[:, None])
    return -torch.log(p).mean()


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*loud(600, 0)),
        "val_set": TensorDataset(*loud(300, 1)),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
