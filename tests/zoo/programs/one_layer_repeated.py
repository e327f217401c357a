"""``[layer] * 3`` is one layer three times.

Reported on discuss.pytorch.org and in flake8 rules for ``[[]] * n``.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "one_layer_repeated",
    "rule": "repeated-layer",
    "class": "repeated-layer",
    "where": "Net.blocks",
    "code": "nn.ModuleList([nn.Linear(16, 16)] * 3)",
    "static": True,
    "severity": "warning",
    "keywords": ["share", "one"],
}
FIX = [
    ("[nn.Linear(16, 16)] * 3", "[nn.Linear(16, 16) for _ in range(3)]"),
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
        self.blocks = nn.ModuleList([nn.Linear(16, 16)] * 3)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        for b in self.blocks:
            x = F.relu(b(x))
        return self.head(x)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
