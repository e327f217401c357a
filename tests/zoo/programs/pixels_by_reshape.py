"""Logits (N, C, H, W) are reshaped to (N * H * W, C) in the loss, and the channels are not moved."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "pixels-by-reshape",
    "rule": "view-for-transpose",
    "class": "view-for-transpose",
    "where": 'loss',
    "code": 'logits.reshape(-1, logits.size(1))',
    "static": False,
    "severity": "error",
    "keywords": ['permute', 'reshape'],
}
FIX = [
    ('logits.reshape(-1, logits.size(1))', 'logits.permute(0, 2, 3, 1).reshape(-1, logits.size(1))'),
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


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


def loss(logits, mask):
    logits = logits.reshape(-1, logits.size(1))
    return F.cross_entropy(logits, mask.reshape(-1))


def build():
    return {
        "model": nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 3, 3, padding=1)),
        **sets(scenes),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 32,
    }
