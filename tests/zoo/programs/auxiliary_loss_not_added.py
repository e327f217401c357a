"""An auxiliary loss is computed and never added to the sum."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "auxiliary-loss-not-added",
    "rule": "result-never-used",
    "class": "result-never-used",
    "where": 'loss',
    "code": 'small = 0.3 * F.cross_entropy(aux, target)',
    "static": False,
    "severity": "error",
    "keywords": ['never', 'not used', 'unused', 'gradient', 'nothing reads'],
}
FIX = [
    ('return large', 'return large + small'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk, self.main, self.aux = nn.Linear(10, 32), nn.Linear(32, 4), nn.Linear(32, 4)

    def forward(self, x):
        h = torch.relu(self.trunk(x))
        return self.main(h), self.aux(h)


def loss(outputs, target):
    main, aux = outputs
    large = F.cross_entropy(main, target)
    small = 0.3 * F.cross_entropy(aux, target)
    return large


def build():
    return {"model": Net(), **sets(blobs), "loss": loss, "batch_size": 50,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3)}
