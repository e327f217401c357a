"""``module.requires_grad = False`` sets an attribute that nothing reads: nothing is frozen."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "requires_grad_of_a_module",
    "rule": "attribute-typo",
    "class": "attribute-typo",
    "where": "body.requires_grad",
    "code": "self.body.requires_grad = False",
    "static": True,
    "severity": "error",
    "keywords": ["requires_grad_"],
}
FIX = [
    ("self.body.requires_grad = False", "self.body.requires_grad_(False)"),
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
        self.body.requires_grad = False

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
