"""The learning rate is about 1000 times too large.

The loss jumps up in the first steps and does not come back. The most frequent training problem
of the fault studies (AutoTrainer's exploding / oscillating loss, UMLAUT's LRHigh).
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "case30",
    "class": "learning-rate",
    "where": "optimizer: lr",
    "code": "lr=5.0",
    "static": True,
    "severity": "error",
    "keywords": ["learning rate", "lr", "large", "diverg"],
}
FIX = [
    ('lr=5.0', 'lr=5e-3'),
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
        return self.net(x)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=5.0),
        "batch_size": 50,
    }
