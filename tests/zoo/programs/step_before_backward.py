"""The optimizer steps before backward."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop204",
    "class": 'step-before-backward',
    "where": 'train_step',
    "code": 'optimizer.step()',
    "static": False,
    "severity": 'error',
    "keywords": ['backward', 'order'],
    "rule": 'step-before-backward',
}
FIX = [
    ('    optimizer.step()\n', ''),
    ('    value.backward()\n', '    value.backward()\n    optimizer.step()\n'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    optimizer.step()
    value = loss(model(x), y)
    value.backward()
    return value.detach()


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
        "train_step": train_step,
    }
