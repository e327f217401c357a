"""A sigmoid module before CrossEntropyLoss: logits are confined to 0..1.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "bounded-logits",
    "class": "bounded-logits",
    "rule": "bounded-logits",
    "where": "3 (Sigmoid)",
    "code": "nn.Sigmoid()",
    "static": False,
    "severity": "error",
    "keywords": ["sigmoid", "logits"],
}
FIX = [
    (', nn.Sigmoid()', ''),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4), nn.Sigmoid()),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
