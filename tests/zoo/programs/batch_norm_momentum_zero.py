"""Running statistics that never move."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'batch-norm-momentum-zero',
    "rule": 'norm-momentum',
    "class": 'norm-momentum',
    "where": 'BatchNorm',
    "code": 'nn.BatchNorm2d(width, momentum=0.0)',
    "static": False,
    "severity": 'error',
    "keywords": ['momentum', 'running', 'statistics'],
}
FIX = [
    (', momentum=0.0', ''),
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

def block(inputs, width):
    return nn.Sequential(
        nn.Conv2d(inputs, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width, momentum=0.0),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(block(1, 16), block(16, 32))
        self.head = nn.Linear(32 * 16, 4)

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
