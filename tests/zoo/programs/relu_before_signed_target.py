"""A ReLU as the last operation of a regression whose targets are negative too.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "targets-out-of-reach",
    "class": "targets-out-of-reach",
    "rule": "targets-out-of-reach",
    "where": "Net.forward: relu",
    "code": "F.relu(self.out(h))",
    "static": False,
    "severity": "error",
    "keywords": ["relu", "out of reach", "range"],
}
FIX = [
    ('F.relu(self.out(h))', 'self.out(h)'),
]


def line(n, seed, d=8):
    """A linear regression with a little noise; the targets are (n, 1)."""
    w = torch.linspace(-1, 1, d)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, (x @ w + 0.1 * torch.randn(n, generator=g))[:, None]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.out = nn.Linear(8, 32), nn.Linear(32, 1)

    def forward(self, x):
        h = F.relu(self.body(x))
        return F.relu(self.out(h))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*line(600, 0)),
        "val_set": TensorDataset(*line(300, 1)),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
