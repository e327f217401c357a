"""The loss takes the argmax of the output as its label.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "labels-from-outputs",
    "class": "labels-from-outputs",
    "rule": "labels-from-outputs",
    "where": "loss: cross_entropy",
    "code": "F.cross_entropy(scores, labels)",
    "static": False,
    "severity": "error",
    "keywords": ["label", "outputs"],
}
FIX = [
    ('labels = scores.argmax(1)', 'labels = target'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def loss(scores, target):
    labels = scores.argmax(1)
    return F.cross_entropy(scores, labels)


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
