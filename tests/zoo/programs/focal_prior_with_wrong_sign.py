"""The prior of a rare class, with the sign turned."""

import math

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'focal-prior-with-wrong-sign',
    "rule": 'bias-far-off',
    "class": 'bias-far-off',
    "where": 'Net.__init__',
    "code": 'self.head.bias.fill_(math.log((1 - prior) / prior))',
    "static": False,
    "severity": 'warning',
    "keywords": ['bias', 'prior', 'init'],
}
FIX = [
    ('math.log((1 - prior) / prior)', '-math.log((1 - prior) / prior)'),
]


def shapes(n, seed):
    """Noisy pictures with a bright patch whose corner tells the class."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 4, (n,), generator=g)
    x = torch.randn(n, 1, 16, 16, generator=g)
    for i, k in enumerate(y.tolist()):
        r, c = 8 * (k // 2) + 2, 8 * (k % 2) + 2
        x[i, 0, r : r + 4, c : c + 4] += 1.5
    m = torch.zeros(n, 1, 16, 16)
    m[torch.arange(n), 0, 4, 4] = (y == 0).float()
    return TensorDataset(x, m)


TRAIN, VAL, LOSS = shapes(320, 0), shapes(160, 1), nn.BCEWithLogitsLoss()

class Net(nn.Module):
    """Dense detector: is there something bright at this cell?"""

    def __init__(self, prior=0.001):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(16, 1, 1)
        with torch.no_grad():
            self.head.bias.fill_(math.log((1 - prior) / prior))

    def forward(self, x):
        return self.head(self.body(x))


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
