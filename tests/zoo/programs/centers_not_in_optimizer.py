"""The centres of a center loss are parameters of the loss; the optimizer has the model's only.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'loop-centers_not_in_optimizer',
    "class": 'optimizer-missing-params',
    "where": 'centers',
    "code": 'nn.Parameter(torch.randn(classes, dim))',
    "static": False,
    "severity": 'error',
    "keywords": ['centers', 'loss', 'optimizer', 'parameter', 'not in', 'not trained'],
    "rule": 'loss-not-in-optimizer',
}
FIX = [
    ('torch.optim.Adam(model.parameters(), lr=2e-3)', 'torch.optim.Adam([*model.parameters(), *criterion.parameters()], lr=2e-3)'),
]


def glyphs(n, seed, k=6, size=12):
    """Grey pictures, roughly standardised: ``k`` fixed 8x8 patterns at random offsets, with noise."""
    patterns = (torch.rand(k, 8, 8, generator=torch.Generator().manual_seed(3)) > 0.5).float()
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    top, left = torch.randint(0, size - 7, (2, n), generator=g).tolist()
    x = 0.3 * torch.randn(n, 1, size, size, generator=g)
    for i in range(n):
        x[i, 0, top[i]:top[i] + 8, left[i]:left[i] + 8] += patterns[y[i]]
    return (x - 0.22) / 0.5, y


class CenterLoss(nn.Module):
    """Cross entropy plus the distance to a learnt centre of the class (Wen et al. 2016)."""

    def __init__(self, classes, dim, weight=0.05):
        super().__init__()
        self.weight = weight
        self.centers = nn.Parameter(torch.randn(classes, dim))

    def forward(self, output, target):
        h, logits = output
        distance = (h - self.centers[target]).pow(2).sum(1)
        return F.cross_entropy(logits, target) + self.weight * distance.mean()


class Net(nn.Module):
    def __init__(self, dim=16):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3), nn.PReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 64), nn.PReLU(), nn.Linear(64, dim)
        )
        self.head = nn.Linear(dim, 6)

    def forward(self, x):
        h = self.body(x)
        return h, self.head(F.relu(h))


criterion = CenterLoss(6, 16)


def make_optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=2e-3)


def build():
    nn.init.normal_(criterion.centers)
    return {
        "model": Net(),
        "train_set": TensorDataset(*glyphs(600, 0)),
        "val_set": TensorDataset(*glyphs(300, 1)),
        "loss": criterion,
        "make_optimizer": make_optimizer,
        "batch_size": 50,
        "epochs": 5,
    }
