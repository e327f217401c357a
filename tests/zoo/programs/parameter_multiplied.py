"""``nn.Parameter(...) * 0.1`` is a plain tensor: the parameter is lost.

Reported: discuss.pytorch.org, "nn.Parameter not in parameters() after .cuda() or an operation".
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "parameter_multiplied",
    "rule": "unregistered-parameter",
    "class": "unregistered-parameter",
    "where": "Net.w",
    "code": "self.w = nn.Parameter",
    "static": True,
    "severity": "error",
    "keywords": ["Parameter", "not registered"],
}
FIX = [
    ("nn.Parameter(torch.randn(16, 32)) * 0.1", "nn.Parameter(torch.randn(16, 32) * 0.1)"),
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
        self.w = nn.Parameter(torch.randn(16, 32)) * 0.1
        self.head = nn.Linear(32, 4)

    def forward(self, x):
        return self.head(F.relu(x @ self.w))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
