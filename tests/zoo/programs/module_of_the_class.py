"""A layer is an attribute of the class: it is shared by all instances and registered in none."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "module_of_the_class",
    "rule": "unregistered-module",
    "class": "unregistered-module",
    "where": "Net.proj",
    "code": "proj = nn.Linear(16, 16)",
    "static": True,
    "severity": "error",
    "keywords": ["class", "not registered"],
}
FIX = [
    ("    proj = nn.Linear(16, 16)\n", ""),
    ("        self.head =", "        self.proj = nn.Linear(16, 16)\n        self.head ="),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Net(nn.Module):
    proj = nn.Linear(16, 16)

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        return self.head(F.relu(self.proj(x)))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
