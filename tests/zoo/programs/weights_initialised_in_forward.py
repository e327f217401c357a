"""The initialisation stands in ``forward``: what was learnt is lost with each batch."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "weights_initialised_in_forward",
    "rule": "weights-redrawn",
    "class": "weights-redrawn",
    "where": "xavier_uniform",
    "code": "nn.init.xavier_uniform_(self.body.weight)",
    "static": True,
    "severity": "error",
    "keywords": ["initialis", "anew"],
}
FIX = [
    ("        nn.init.xavier_uniform_(self.body.weight)\n", ""),
    ("        self.head =", "        nn.init.xavier_uniform_(self.body.weight)\n        self.head ="),
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

    def forward(self, x):
        nn.init.xavier_uniform_(self.body.weight)
        return self.head(F.relu(self.body(x)))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
