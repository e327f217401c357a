"""Weights kept in bfloat16: steps of 1e-4 are lost in rounding.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "update-lost-in-rounding",
    "class": "update-lost-in-rounding",
    "rule": "update-lost-in-rounding",
    "where": "optimizer: bfloat16",
    "code": "lr=1e-3",
    "static": False,
    "severity": "error",
    "keywords": ["bfloat16", "rounding"],
}
FIX = [
    ('KIND = torch.bfloat16', 'KIND = torch.float32'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


KIND = torch.bfloat16


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)).to(KIND)

    def forward(self, x):
        return self.net(x.to(KIND)).float()


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=1e-3),
        "batch_size": 50,
        "epochs": 200,
    }
