"""A stride of 4 and a kernel of 2."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'transposed-convolution-with-gaps',
    "rule": 'transposed-gaps',
    "class": 'transposed-gaps',
    "where": 'up',
    "code": 'nn.ConvTranspose2d(16, 8, 2, stride=4, output_padding=2)',
    "static": False,
    "severity": 'warning',
    "keywords": ['stride', 'kernel', 'checkerboard'],
}
FIX = [
    ('nn.ConvTranspose2d(16, 8, 2, stride=4, output_padding=2)', 'nn.ConvTranspose2d(16, 8, 4, stride=4)'),
]


def shapes(n, seed):
    """Noisy pictures with a bright patch whose corner tells the class."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 4, (n,), generator=g)
    x = torch.randn(n, 1, 16, 16, generator=g)
    for i, k in enumerate(y.tolist()):
        r, c = 8 * (k // 2) + 2, 8 * (k % 2) + 2
        x[i, 0, r : r + 4, c : c + 4] += 1.5
    m = (F.avg_pool2d(x, 3, 1, 1) > 0.7).float()
    return TensorDataset(x, m)


TRAIN, VAL, LOSS = shapes(320, 0), shapes(160, 1), nn.BCEWithLogitsLoss()

class Net(nn.Module):
    """Marks the bright patch."""

    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 16, 4, stride=4), nn.ReLU())
        self.up = nn.Sequential(nn.ConvTranspose2d(16, 8, 2, stride=4, output_padding=2), nn.ReLU())
        self.out = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        return self.out(self.up(self.down(x)))


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
