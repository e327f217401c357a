"""Layers are kept in a plain Python list.

``parameters()``, ``state_dict()`` and ``to()`` do not see them: they stay as initialised and
are lost by a checkpoint. Reported: gupta-abhay/setr-pytorch#4, pytorch/pytorch#1291.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "case02",
    "class": "unregistered-module",
    "where": "Net.blocks",
    "code": "self.blocks = [",
    "static": True,
    "severity": "error",
    "keywords": ["blocks", "list", "ModuleList", "not registered"],
}
FIX = [
    ('[nn.Linear(16, 64), nn.Linear(64, 64)]', 'nn.ModuleList([nn.Linear(16, 64), nn.Linear(64, 64)])'),
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
        self.blocks = [nn.Linear(16, 64), nn.Linear(64, 64)]
        self.head = nn.Linear(64, 4)

    def forward(self, x):
        for block in self.blocks:
            x = F.relu(block(x))
        return self.head(x)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
