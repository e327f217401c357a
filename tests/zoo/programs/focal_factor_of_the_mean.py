"""A focal loss whose cross entropy is the mean of the batch already."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "focal-factor-of-the-mean",
    "rule": "mean-before-weights",
    "class": "mean-before-weights",
    "where": 'FocalLoss.forward',
    "code": 'ce = F.cross_entropy(logits, target)',
    "static": False,
    "severity": "warning",
    "keywords": ['focal', 'per sample'],
}
FIX = [
    ('F.cross_entropy(logits, target)', 'F.cross_entropy(logits, target, reduction="none")'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


class FocalLoss(nn.Module):
    def forward(self, logits, target):
        ce = F.cross_entropy(logits, target)
        pt = torch.exp(-ce)
        return ((1 - pt) ** 2 * ce).mean()


def build():
    return {
        "model": nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 4)),
        **sets(blobs),
        "loss": FocalLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 32,
    }
