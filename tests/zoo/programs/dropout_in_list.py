"""Dropout layers in a plain list are not reached by ``model.eval()``: they drop in evaluation too."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "dropout_in_list",
    "rule": "unregistered-module",
    "class": "unregistered-module",
    "where": "Net.drops",
    "code": "self.drops = [",
    "static": True,
    "severity": "error",
    "keywords": ["eval", "not registered"],
}
FIX = [
    ("[nn.Dropout(0.5) for _ in range(2)]", "nn.ModuleList([nn.Dropout(0.5) for _ in range(2)])"),
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
        self.drops = [nn.Dropout(0.5) for _ in range(2)]
        self.body = nn.Linear(16, 32)
        self.head = nn.Linear(32, 4)

    def forward(self, x):
        return self.head(self.drops[1](F.relu(self.body(self.drops[0](x)))))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
