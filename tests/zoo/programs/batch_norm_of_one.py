"""Batch norm that is trained on one sample at a time.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "batch-norm-of-one",
    "class": "batch-norm-of-one",
    "rule": "batch-norm-of-one",
    "where": "norm (BatchNorm1d)",
    "code": "nn.BatchNorm1d(8)",
    "static": False,
    "severity": "warning",
    "keywords": ["one sample", "batch"],
}
FIX = [
    ('nn.BatchNorm1d(8)', 'nn.GroupNorm(2, 8)'),
]


def sequences(n, seed, t=12, f=4):
    """Sequences of 12 steps whose class is told by one of them."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 2, (n,), generator=g)
    x = torch.randn(n, t, f, generator=g) * 0.5
    x[:, 3, 0] += (y * 2 - 1) * 2.0
    return x, y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(4, 8, 3, padding=1), nn.BatchNorm1d(8)
        self.head = nn.Linear(96, 2)

    def forward(self, x):
        h = F.relu(self.norm(self.conv(x.transpose(1, 2))))
        return self.head(h.flatten(1))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*sequences(600, 0)),
        "val_set": TensorDataset(*sequences(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 1,
    }
