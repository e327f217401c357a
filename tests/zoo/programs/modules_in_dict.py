"""Layers are kept in a plain dict: no optimizer, no checkpoint has them.

Reported: pytorch/pytorch#1291 (lists and dicts of modules).
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "modules_in_dict",
    "rule": "unregistered-module",
    "class": "unregistered-module",
    "where": "Net.heads",
    "code": "self.heads = {",
    "static": True,
    "severity": "error",
    "keywords": ["dict", "ModuleDict", "not registered"],
}
FIX = [
    ('{"a": nn.Linear(32, 4)}', 'nn.ModuleDict({"a": nn.Linear(32, 4)})'),
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
        self.heads = {"a": nn.Linear(32, 4)}

    def forward(self, x):
        return self.heads["a"](F.relu(self.body(x)))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
