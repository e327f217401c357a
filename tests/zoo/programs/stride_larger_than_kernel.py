"""One pixel of sixteen is read."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'stride-larger-than-kernel',
    "rule": 'stride-skips',
    "class": 'stride-skips',
    "where": 'stem',
    "code": 'nn.Conv2d(1, 16, kernel_size=1, stride=4)',
    "static": False,
    "severity": 'warning',
    "keywords": ['stride', 'skip', 'never read'],
}
FIX = [
    ('kernel_size=1, stride=4', 'kernel_size=4, stride=4'),
]


def shapes(n, seed):
    """Noisy pictures with a bright patch whose corner tells the class."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 4, (n,), generator=g)
    x = torch.randn(n, 1, 16, 16, generator=g)
    for i, k in enumerate(y.tolist()):
        r, c = 8 * (k // 2) + 2, 8 * (k % 2) + 2
        x[i, 0, r : r + 4, c : c + 4] += 1.5
    return TensorDataset(x, y)


TRAIN, VAL, LOSS = shapes(320, 0), shapes(160, 1), nn.CrossEntropyLoss()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, kernel_size=1, stride=4), nn.BatchNorm2d(16), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(32 * 16, 4)

    def forward(self, x):
        return self.head(self.body(self.stem(x)).flatten(1))


def build():
    return {
        "model": Net(),
        "train_set": TRAIN,
        "val_set": VAL,
        "loss": LOSS,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=2e-3),
        "batch_size": 32,
        "epochs": 8,
    }
