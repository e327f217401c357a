"""A fixed random projection in a plain attribute: it is not in state_dict."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop231",
    "class": 'state-not-saved',
    "where": 'Net',
    "code": 'class Net',
    "static": False,
    "severity": 'error',
    "keywords": ['state'],
    "rule": 'state-not-saved',
}
FIX = [
    ('torch.randn(16, 16) / 4', 'torch.eye(16)'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Projection:
    def __init__(self):
        self.matrix = torch.randn(16, 16) / 4


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.projection = Projection()
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        return self.head(x @ self.projection.matrix)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
    }
