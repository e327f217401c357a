"""The shortcut is what the activation in place left of it."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'relu-in-place-on-shortcut',
    "rule": 'shortcut-changed',
    "class": 'shortcut-changed',
    "where": 'PreActBlock',
    "code": 'self.act = nn.ReLU(inplace=True)',
    "static": False,
    "severity": 'warning',
    "keywords": ['inplace', 'in place', 'in-place'],
}
FIX = [
    ('nn.ReLU(inplace=True)', 'nn.ReLU()'),
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

class PreActBlock(nn.Module):
    """BN-ReLU-conv, twice; the shortcut is the block's input."""

    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        identity = x
        out = self.conv1(self.act(x))
        out = self.conv2(self.act(out))
        return out + identity


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(PreActBlock(16), PreActBlock(16))
        self.head = nn.Linear(16 * 64, 4)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).flatten(1))


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
