"""A mutable default argument collects the layers of every instance.

The second member of the ensemble contains (and trains) the layers of the first one. Known
Python pitfall (flake8-bugbear B006); here it changes the model without a word.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "case05",
    "class": "shared-state",
    "where": "Member.__init__(layers=[])",
    "code": "def __init__(self, width, layers=[])",
    "static": True,
    "severity": "error",
    "keywords": ["mutable default", "layers", "shared", "Member"],
}
FIX = [
    ('layers=[])', 'layers=())'),
    ('        for _ in range(2):\n', '        layers = list(layers)\n        for _ in range(2):\n'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Member(nn.Module):
    def __init__(self, width, layers=[]):
        super().__init__()
        for _ in range(2):
            layers += [nn.Linear(width, width), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        return self.head(self.body(x))


class Ensemble(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Member(16)
        self.second = Member(16)

    def forward(self, x):
        return (self.first(x) + self.second(x)) / 2


def build():
    return {
        "model": Ensemble(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
