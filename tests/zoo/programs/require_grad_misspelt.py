"""``require_grad`` is no attribute of a parameter: nothing is frozen.

Reported in dozens of repositories; torch takes any attribute.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "require_grad_misspelt",
    "rule": "attribute-typo",
    "class": "attribute-typo",
    "where": "p.require_grad",
    "code": "p.require_grad = False",
    "static": True,
    "severity": "error",
    "keywords": ["requires_grad"],
}
FIX = [
    ("p.require_grad = False", "p.requires_grad = False"),
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
        self.body = nn.Linear(16, 32)
        self.head = nn.Linear(32, 4)
        for p in self.body.parameters():
            p.require_grad = False

    def forward(self, x):
        return self.head(F.relu(self.body(x)))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
