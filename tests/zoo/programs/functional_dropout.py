"""``F.dropout`` without ``training=self.training`` is active in evaluation too.

Reported: pytorch/pytorch#26338, #11999, rixwew/pytorch-fm#21, Academic-Hammer/SciTSR#16.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "case11",
    "class": "mode-ignored",
    "where": "Net.forward: F.dropout",
    "code": "F.dropout(h, 0.5)",
    "static": True,
    "severity": "error",
    "keywords": ["F.dropout", "training=self.training", "eval"],
}
FIX = [
    ('F.dropout(h, 0.5)', 'F.dropout(h, 0.5, self.training)'),
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
        self.head = nn.Linear(32, 4)

    def forward(self, x):
        h = F.relu(self.body(x))
        h = F.dropout(h, 0.5)
        return self.head(h)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
