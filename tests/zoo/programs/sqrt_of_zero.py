"""The derivative of a square root at 0 is infinite; 0 times infinity is NaN.

The distance of a sample to itself: a known trap of contrastive losses (pytorch/pytorch#6394).
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "numbers-break",
    "class": "numbers-break",
    "rule": "numbers-break",
    "where": "loss: torch.sqrt",
    "code": "torch.sqrt(gaps)",
    "static": False,
    "severity": "error",
    "keywords": ["sqrt", "nan", "derivative"],
}
FIX = [
    ('torch.sqrt(gaps)', 'torch.sqrt(gaps + 1e-8)'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def loss(codes, target):
    gaps = ((codes[:, None] - codes[None]) ** 2).sum(-1)
    same = (target[:, None] == target[None]).float()
    distances = torch.sqrt(gaps)
    return (same * distances + (1 - same) * (2 - distances).clamp(min=0)).mean()


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
