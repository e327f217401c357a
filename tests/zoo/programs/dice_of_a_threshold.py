"""The Dice term of a loss is computed from the thresholded mask and has no gradient."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "dice-of-a-threshold",
    "rule": "term-without-gradient",
    "class": "term-without-gradient",
    "where": 'BCEDice.dice',
    "code": '(torch.sigmoid(logits) > 0.5).float()',
    "static": False,
    "severity": "error",
    "keywords": ['gradient', 'differentiable'],
}
FIX = [
    ('(torch.sigmoid(logits) > 0.5).float()', 'torch.sigmoid(logits)'),
]


def scenes(n, seed, size=8):
    g = torch.Generator().manual_seed(seed)
    x = 0.5 * torch.randn(n, 1, size, size, generator=g)
    mask = torch.zeros(n, size, size, dtype=torch.long)
    corner = torch.randint(0, size - 4, (n, 2, 2), generator=g).tolist()
    for i in range(n):
        for c, (r, s) in enumerate(corner[i]):
            mask[i, r : r + 4, s : s + 4] = c + 1
    x[:, 0] += torch.tensor([0.0, 1.5, -1.5])[mask]
    return x, mask


def foreground(n, seed):
    x, mask = scenes(n, seed)
    return x, (mask == 1).float().unsqueeze(1)


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


class BCEDice(nn.Module):
    def dice(self, logits, mask):
        pred = (torch.sigmoid(logits) > 0.5).float()
        inter = (pred * mask).sum((1, 2, 3))
        return 1 - ((2 * inter + 1) / (pred.sum((1, 2, 3)) + mask.sum((1, 2, 3)) + 1)).mean()

    def forward(self, logits, mask):
        return F.binary_cross_entropy_with_logits(logits, mask) + 0.5 * self.dice(logits, mask)


def build():
    return {
        "model": nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 1, 3, padding=1)),
        **sets(foreground),
        "loss": BCEDice(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 32,
    }
