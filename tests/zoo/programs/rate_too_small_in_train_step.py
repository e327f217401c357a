"""The rate of a training loop of one's own is a million times too small."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "cannot-overfit-batch",
    "class": "cannot-overfit-batch",
    "rule": "cannot-overfit-batch",
    "where": "optimizer: lr",
    "code": "lr=1e-8",
    "static": False,
    "severity": "error",
    "keywords": ["too small", "lr"],
}
FIX = [
    ("lr=1e-8", "lr=1e-2"),
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
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-8),
        "batch_size": 50,
        "epochs": 20,
        "train_step": train_step,
        "deep": True,
    }
