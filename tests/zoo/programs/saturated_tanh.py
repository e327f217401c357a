"""Weights so large that every tanh is at -1 or 1.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "saturated-units",
    "class": "saturated-units",
    "rule": "saturated-units",
    "where": "Net.__init__: normal_",
    "code": "nn.init.normal_(self.net[0].weight, std=20.0)",
    "static": False,
    "severity": "error",
    "keywords": ["saturated"],
}
FIX = [
    ('std=20.0', 'std=0.2'),
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
        self.net = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))
        nn.init.normal_(self.net[0].weight, std=20.0)

    def forward(self, x):
        return self.net(x)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
