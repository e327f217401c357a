"""A layer as default argument is made once: all blocks share one norm."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "module_as_default",
    "rule": "mutable-default",
    "class": "mutable-default",
    "where": "Block.__init__",
    "code": "norm=nn.LayerNorm(16)):",
    "static": True,
    "severity": "error",
    "keywords": ["default", "shared"],
}
FIX = [
    ("norm=nn.LayerNorm(16)", "norm=None"),
    ("self.norm = norm", "self.norm = norm or nn.LayerNorm(16)"),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Block(nn.Module):
    def __init__(self, norm=nn.LayerNorm(16)):
        super().__init__()
        self.norm = norm
        self.l = nn.Linear(16, 16)

    def forward(self, x):
        return x + F.relu(self.l(self.norm(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(Block(), Block())
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        return self.head(self.body(x))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
