"""The shortcut of a residual block is computed and never added."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "shortcut-never-added",
    "rule": "result-never-used",
    "class": "result-never-used",
    "where": 'Block.forward',
    "code": 'shortcut = self.short(x)',
    "static": False,
    "severity": "error",
    "keywords": ['never', 'not used', 'unused', 'ignored', 'nothing reads', 'gradient'],
}
FIX = [
    ('return F.relu(self.norm2(h))', 'return F.relu(self.norm2(h) + shortcut)'),
]


def images(n, seed, k=4, size=8, channels=1):
    g = torch.Generator().manual_seed(seed)
    forms = torch.randn(k, channels, size, size, generator=torch.Generator().manual_seed(98))
    y = torch.randint(0, k, (n,), generator=g)
    return forms[y] + torch.randn(n, channels, size, size, generator=g), y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


class Block(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(inner, outer, 3, padding=1), nn.BatchNorm2d(outer)
        self.conv2, self.norm2 = nn.Conv2d(outer, outer, 3, padding=1), nn.BatchNorm2d(outer)
        self.short = nn.Conv2d(inner, outer, 1)

    def forward(self, x):
        shortcut = self.short(x)
        h = self.conv2(F.relu(self.norm1(self.conv1(x))))
        return F.relu(self.norm2(h))


def build():
    model = nn.Sequential(Block(1, 8), Block(8, 16), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))
    return {"model": model, **sets(images), "loss": nn.CrossEntropyLoss(), "batch_size": 50,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3)}
