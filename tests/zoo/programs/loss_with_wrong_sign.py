"""A log-likelihood that is minimised: the minus is missing.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loss-with-wrong-sign",
    "class": "loss-with-wrong-sign",
    "rule": "loss-with-wrong-sign",
    "where": "loss: sign",
    "code": "F.log_softmax(scores, dim=1)",
    "static": False,
    "severity": "error",
    "keywords": ["sign"],
}
FIX = [
    ('return chosen.mean()', 'return -chosen.mean()'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def loss(scores, target):
    chosen = F.log_softmax(scores, dim=1).gather(1, target[:, None])
    return chosen.mean()


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
