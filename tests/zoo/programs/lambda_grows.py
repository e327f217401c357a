"""The formula gives the epoch as a factor."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop223",
    "class": 'schedule-grows',
    "where": 'scheduler',
    "code": 'return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 2.0 * epoch)',
    "static": False,
    "severity": 'warning',
    "keywords": ['factor'],
    "rule": 'schedule-grows',
}
FIX = [
    ('2.0 * epoch', '0.95**epoch'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def make_scheduler(optimizer):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 2.0 * epoch)


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
        "scheduler_interval": "epoch",
    }
