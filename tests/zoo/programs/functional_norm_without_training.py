"""``F.batch_norm`` without ``training`` uses running statistics that are never measured."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "functional_norm_without_training",
    "rule": "functional-training",
    "class": "functional-training",
    "where": "F.batch_norm",
    "code": "F.batch_norm",
    "static": True,
    "severity": "error",
    "keywords": ["training", "running"],
}
FIX = [
    ("self.v, self.w", "self.v, self.w, training=self.training"),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("m", torch.zeros(16))
        self.register_buffer("v", torch.ones(16))
        self.w = nn.Parameter(torch.ones(16))
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        return self.head(F.batch_norm(x, self.m, self.v, self.w))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
