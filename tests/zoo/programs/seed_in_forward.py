"""A seed that is set in ``forward`` gives each step the same dropout mask."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "seed_in_forward",
    "rule": "seed-in-forward",
    "class": "seed-in-forward",
    "where": "Net.forward: torch.manual_seed",
    "code": "torch.manual_seed(0)",
    "static": True,
    "severity": "error",
    "keywords": ["seed"],
}
FIX = [
    ("        torch.manual_seed(0)\n", ""),
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
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        torch.manual_seed(0)
        return self.head(self.drop(x))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
