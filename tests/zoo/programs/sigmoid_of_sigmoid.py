"""A gate that is squashed twice.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "activation-twice",
    "class": "activation-twice",
    "rule": "activation-twice",
    "where": "Net.forward: sigmoid",
    "code": "torch.sigmoid(torch.sigmoid(h))",
    "static": False,
    "severity": "error",
    "keywords": ["sigmoid"],
}
FIX = [
    ('torch.sigmoid(torch.sigmoid(h))', 'torch.sigmoid(h)'),
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
        self.body, self.head = nn.Linear(16, 32), nn.Linear(32, 4)

    def forward(self, x):
        h = self.body(x)
        return self.head(torch.sigmoid(torch.sigmoid(h)))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
