"""Activations are collected in a list with their graphs: memory grows with every batch.

PyTorch FAQ: "My model reports out of memory", don't accumulate history.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "outputs_collected_with_graphs",
    "rule": "graph-kept",
    "class": "graph-kept",
    "where": "Net.history",
    "code": "self.history.append(h)",
    "static": True,
    "severity": "error",
    "keywords": ["graph", "memory"],
}
FIX = [
    ("self.history.append(h)", "self.history.append(h.detach().mean().item())"),
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
        self.body = nn.Linear(16, 16)
        self.head = nn.Linear(16, 4)
        self.history = []

    def forward(self, x):
        h = F.relu(self.body(x))
        self.history.append(h)
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
