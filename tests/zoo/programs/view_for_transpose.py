"""``view`` instead of ``transpose`` before a convolution over time.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "view-for-transpose",
    "class": "view-for-transpose",
    "rule": "view-for-transpose",
    "where": "Net.forward: view",
    "code": "x.view(x.size(0), 4, 12)",
    "static": False,
    "severity": "error",
    "keywords": ["transpose", "view", "permute"],
}
FIX = [
    ('x.view(x.size(0), 4, 12)', 'x.transpose(1, 2)'),
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
        self.conv, self.head = nn.Conv1d(4, 8, 3, padding=1), nn.Linear(96, 2)

    def forward(self, x):
        h = F.relu(self.conv(x.view(x.size(0), 4, 12)))
        return self.head(h.flatten(1))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*sequences(600, 0)),
        "val_set": TensorDataset(*sequences(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
