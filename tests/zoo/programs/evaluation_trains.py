"""The evaluation steps an optimizer."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = {
    "id": "loop239",
    "class": 'evaluation-changes-model',
    "where": 'evaluate',
    "code": 'def evaluate',
    "static": False,
    "severity": 'error',
    "keywords": ['train'],
    "rule": 'evaluation-changes-model',
}
FIX = [
    ('            optimizer.step()\n', ''),
    ('    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n', ''),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def evaluate(model, val_set):
    model.eval()
    right = 0.0
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    if True:
        for x, y in DataLoader(val_set, batch_size=128):
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            right += (model(x).argmax(1) == y).sum().item()
    return right / len(val_set)


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
        "evaluate": evaluate,
    }
