"""Labels are smoothed in the data and by the loss."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "label-smoothing-twice",
    "rule": "labels-smoothed-twice",
    "class": "labels-smoothed-twice",
    "where": 'loss',
    "code": 'label_smoothing=0.1',
    "static": False,
    "severity": "warning",
    "keywords": ['twice', 'smooth'],
}
FIX = [
    ('nn.CrossEntropyLoss(label_smoothing=0.1)', 'nn.CrossEntropyLoss()'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


def smoothed(n, seed):
    x, y = blobs(n, seed)
    return x, 0.9 * F.one_hot(y, 4).float() + 0.1 / 4


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


def build():
    return {
        "model": nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 4)),
        **sets(smoothed),
        "loss": nn.CrossEntropyLoss(label_smoothing=0.1),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 32,
    }
