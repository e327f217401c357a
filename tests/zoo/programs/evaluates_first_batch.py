"""The return stands in the loop."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = {
    "id": "loop235",
    "class": 'evaluates-a-part',
    "where": 'evaluate',
    "code": 'return right / len(x)',
    "static": False,
    "severity": "error",
    "keywords": ['samples', 'batch'],
    "rule": 'evaluates-a-part',
}
FIX = [
    ('right = (', 'right += ('),
    ('            return right / len(x)', '    return right / len(val_set)'),
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
    with torch.no_grad():
        for x, y in DataLoader(val_set, batch_size=128):
            right = (model(x).argmax(1) == y).sum().item()
            return right / len(x)


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
