"""``torch.round`` has a gradient of zero: nothing before it is trained.

Bengio et al. 2013, straight-through estimator.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "rounded_in_the_path",
    "rule": "gradient-cut",
    "class": "gradient-cut",
    "where": "round",
    "code": "torch.round",
    "static": True,
    "severity": "error",
    "keywords": ["gradient"],
}
FIX = [
    ("torch.round(torch.tanh(self.body(x)) * 4) / 4", "torch.tanh(self.body(x))"),
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
        h = torch.round(torch.tanh(self.body(x)) * 4) / 4
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
