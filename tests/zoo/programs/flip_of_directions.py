"""Horizontal flips as augmentation, where the label is the direction of the arrow."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": 'seven-c13',
    "class": 'augmentation-changes-target',
    "where": 'Arrows.__getitem__',
    "code": 'x = x.flip(-1)',
    "static": False,
    "severity": 'error',
    "keywords": ['flip', 'label', 'augment', 'mirror'],
    "rule": 'augmentation-changes-target',
}
FIX = [
    ('x = x.flip(-1)', 'x, y = x.flip(-1), 1 - y'),
]


class Arrows(Dataset):
    def __init__(self, n, seed, augment):
        g = torch.Generator().manual_seed(seed)
        self.y = torch.randint(0, 2, (n,), generator=g)
        ramp = torch.linspace(-1, 1, 12).expand(1, 12, 12)
        sign = (2.0 * self.y - 1)[:, None, None, None]
        self.x = sign * ramp + 0.6 * torch.randn(n, 1, 12, 12, generator=g)
        self.augment = augment

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        x, y = self.x[i], self.y[i]
        if self.augment and torch.rand(()) < 0.5:
            x = x.flip(-1)
        return x, y


def build():
    return {
        "model": nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(800, 2)),
        "train_set": Arrows(400, 0, True),
        "val_set": Arrows(200, 1, False),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 40,
    }
