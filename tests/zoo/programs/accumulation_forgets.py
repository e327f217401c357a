"""Gradients are cleared at every small batch, and the optimizer steps at every fourth."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop209",
    "class": 'gradients-thrown-away',
    "where": 'Accumulating',
    "code": 'optimizer.zero_grad()',
    "static": False,
    "severity": 'error',
    "keywords": ['zero_grad', 'accumul'],
    "rule": 'gradients-thrown-away',
}
FIX = [
    ('        optimizer.zero_grad()\n', ''),
    ('            pass\n', '            optimizer.zero_grad()\n'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Accumulating:
    """Steps once every four small batches."""

    def __init__(self):
        self.seen = 0

    def __call__(self, model, batch, loss, optimizer):
        x, y = batch
        optimizer.zero_grad()
        value = loss(model(x), y)
        (value / 4).backward()
        self.seen += 1
        if self.seen % 4 == 0:
            optimizer.step()
            pass
        return value.detach()


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 15,
        "train_step": Accumulating(),
    }
