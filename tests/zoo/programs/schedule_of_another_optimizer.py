"""The schedule is made of an optimizer that nobody steps."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop225",
    "class": 'schedule-of-another-optimizer',
    "where": 'scheduler',
    "code": 'StepLR(other, 5)',
    "static": False,
    "severity": 'error',
    "keywords": ['another optimizer'],
    "rule": 'schedule-of-another-optimizer',
}
FIX = [
    ('StepLR(other', 'StepLR(optimizer'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def make_scheduler(optimizer):
    other = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    return torch.optim.lr_scheduler.StepLR(other, 5)


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
        "epochs": 20,
        "make_scheduler": make_scheduler,
    }
