"""The decoder goes on with what the bottleneck was given."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "bottleneck-bypassed",
    "rule": "result-never-used",
    "class": "result-never-used",
    "where": 'Coder.bottleneck',
    "code": 'up = self.up(down)',
    "static": False,
    "severity": "error",
    "keywords": ['never used', 'no gradient'],
}
FIX = [
    ('up = self.up(down)', 'up = self.up(deep)'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


class Coder(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(nn.Linear(10, 32), nn.ReLU())
        self.bottleneck = nn.Sequential(nn.Linear(32, 32), nn.ReLU())
        self.up = nn.Sequential(nn.Linear(32, 32), nn.ReLU())
        self.head = nn.Linear(32, 4)

    def forward(self, x):
        down = self.down(x)
        deep = self.bottleneck(down)
        up = self.up(down)
        return self.head(up)


def build():
    return {
        "model": Coder(),
        **sets(blobs),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 32,
    }
