"""The decoder joins what came up with itself."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'skip-concatenated-with-itself',
    "rule": 'same-tensor-twice',
    "class": 'same-tensor-twice',
    "where": 'UNet.forward',
    "code": 'u = torch.cat([u, u], dim=1)',
    "static": False,
    "severity": 'warning',
    "keywords": ['skip', 'concat', 'cat'],
}
FIX = [
    ('torch.cat([u, u], dim=1)', 'torch.cat([u, skip], dim=1)'),
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

class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU())
        self.down = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())
        self.up = nn.ConvTranspose2d(16, 16, 2, stride=2)
        self.dec = nn.Sequential(nn.Conv2d(32, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 1))

    def forward(self, x):
        skip = self.enc(x)
        u = self.up(self.down(skip))
        u = torch.cat([u, u], dim=1)
        return self.dec(u)


def build():
    return {
        "model": UNet(),
        "train_set": TRAIN,
        "val_set": VAL,
        "loss": LOSS,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=2e-3),
        "batch_size": 32,
        "epochs": 8,
    }
