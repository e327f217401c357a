"""A network for pictures that sees no neighbours."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'convolutions-of-one-pixel',
    "rule": 'single-pixels',
    "class": 'single-pixels',
    "where": 'features',
    "code": 'conv(1, 32), conv(32, 64), conv(64, 64)',
    "static": False,
    "severity": 'warning',
    "keywords": ['receptive field', '1x1', 'kernel'],
}
FIX = [
    ('k=1):', 'k=3):'),
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

def conv(inputs, width, k=1):
    return nn.Sequential(nn.Conv2d(inputs, width, k, padding=k // 2), nn.ReLU())


class Net(nn.Module):
    """Counts on textures, and sees single pixels."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(conv(1, 32), conv(32, 64), conv(64, 64))
        self.head = nn.Linear(64, 4)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


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
