"""One batch norm behind two convolutions."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'one-batch-norm-for-two-layers',
    "rule": 'norm-shared',
    "class": 'norm-shared',
    "where": 'bn',
    "code": 'self.bn = nn.BatchNorm2d(16)',
    "static": False,
    "severity": 'warning',
    "keywords": ['BatchNorm', 'shared', 'running'],
}
FIX = [
    ('self.bn2 = nn.Identity()', 'self.bn2 = nn.BatchNorm2d(16)'),
    ('self.bn(self.bn2(self.conv2(x)))', 'self.bn2(self.conv2(x))'),
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
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.bn2 = nn.Identity()
        self.head = nn.Linear(256, 4)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn(self.bn2(self.conv2(x)))), 2)
        return self.head(x.flatten(1))


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
