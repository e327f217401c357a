"""A tensor that requires grad is no parameter: it gets a gradient, and no optimizer has it."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "requires_grad_without_parameter",
    "rule": "unregistered-parameter",
    "class": "unregistered-parameter",
    "where": "Net.scale",
    "code": "self.scale = torch",
    "static": True,
    "severity": "error",
    "keywords": ["nn.Parameter", "not registered"],
}
FIX = [
    ("torch.ones(16, requires_grad=True)", "nn.Parameter(torch.ones(16))"),
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
        self.scale = torch.ones(16, requires_grad=True)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        return self.head(x * self.scale)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
