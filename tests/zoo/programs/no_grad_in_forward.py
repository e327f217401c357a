"""The body runs under ``torch.no_grad()``: it stays as it was initialised."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "no_grad_in_forward",
    "rule": "gradient-cut",
    "class": "gradient-cut",
    "where": "no_grad",
    "code": "with torch.no_grad()",
    "static": True,
    "severity": "error",
    "keywords": ["gradient", "no_grad"],
}
FIX = [
    ("        with torch.no_grad():\n            h = F.relu(self.body(x))\n", "        h = F.relu(self.body(x))\n"),
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

    def forward(self, x):
        with torch.no_grad():
            h = F.relu(self.body(x))
        return self.head(h)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
