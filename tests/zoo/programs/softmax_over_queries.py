"""Attention weights that are normalised over the queries instead of the keys.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "softmax-over-wrong-dim",
    "class": "softmax-over-wrong-dim",
    "rule": "softmax-over-wrong-dim",
    "where": "Net.forward: softmax",
    "code": "F.softmax(scores, dim=1)",
    "static": False,
    "severity": "error",
    "keywords": ["dim", "attention"],
}
FIX = [
    ('dim=1)', 'dim=-1)'),
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
        self.q, self.k, self.v = nn.Linear(4, 16), nn.Linear(4, 16), nn.Linear(4, 16)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        scores = self.q(x) @ self.k(x).transpose(1, 2) / 4
        weights = F.softmax(scores, dim=1)
        return self.head((weights @ self.v(x))[:, 3])


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*sequences(600, 0)),
        "val_set": TensorDataset(*sequences(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
