"""A network for large pictures, given small ones."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'kernel-on-one-pixel',
    "rule": 'kernel-on-one-pixel',
    "class": 'kernel-on-one-pixel',
    "where": 'features.11',
    "code": 'nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(),\n        )',
    "static": False,
    "severity": 'warning',
    "keywords": ['1x1', '1 x 1', 'padding'],
}
FIX = [
    ('nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),\n', 'nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(),\n'),
    ('nn.Linear(64, 4)', 'nn.Linear(256, 4)'),
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
    """A network for pictures of 224, given 16."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(64, 64, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(),
        )
        self.head = nn.Linear(64, 4)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


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
