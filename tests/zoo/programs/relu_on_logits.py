"""A ReLU after the last layer: logits below 0 are cut and get no gradient.

Reported in pytorch/examples-like tutorials and by NeuraLint ("last layer activation").
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "bounded-logits",
    "class": "bounded-logits",
    "rule": "bounded-logits",
    "where": "Net.forward: relu",
    "code": "return F.relu(self.net(x))",
    "static": False,
    "severity": "error",
    "keywords": ["relu", "logits"],
}
FIX = [
    ('F.relu(self.net(x))', 'self.net(x)'),
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
        self.net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, x):
        return F.relu(self.net(x))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
