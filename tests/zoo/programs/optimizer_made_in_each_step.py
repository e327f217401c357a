"""Adam is made anew in each step, so it never has an average."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop207",
    "class": 'optimizer-made-in-step',
    "where": 'train_step',
    "code": 'optimizer = torch.optim.Adam',
    "static": False,
    "severity": 'error',
    "keywords": ['new', 'momentum', 'state'],
    "rule": 'optimizer-made-in-step',
}
FIX = [
    ('    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)\n', ''),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    optimizer.zero_grad()
    value = loss(model(x), y)
    value.backward()
    optimizer.step()
    return value.detach()


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
        "train_step": train_step,
    }
