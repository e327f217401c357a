"""All of the model is frozen, the head too."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop228",
    "class": 'nothing-trained',
    "where": 'model',
    "code": 'model.requires_grad_(False)',
    "static": False,
    "severity": 'error',
    "keywords": ['frozen', 'requires_grad'],
    "rule": 'nothing-trained',
}
FIX = [
    ('model.requires', 'model[0].requires'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def net():
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    model.requires_grad_(False)
    return model


def build():
    return {
        "model": net(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
    }
