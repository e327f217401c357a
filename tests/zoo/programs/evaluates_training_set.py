"""The evaluation looks at the training set."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = {
    "id": "loop236",
    "class": 'evaluates-other-data',
    "where": 'evaluate',
    "code": 'in DataLoader(train_set',
    "static": False,
    "severity": 'error',
    "keywords": ['training', 'val_set'],
    "rule": 'evaluates-other-data',
}
FIX = [
    ('DataLoader(train_set', 'DataLoader(val_set'),
    ('len(train_set)', 'len(val_set)'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


train_set = TensorDataset(*blobs(600, 0))

def evaluate(model, val_set):
    model.eval()
    right = 0.0
    with torch.no_grad():
        for x, y in DataLoader(train_set, batch_size=128):
            right += (model(x).argmax(1) == y).sum().item()
    return right / len(train_set)


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": train_set,
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
        "evaluate": evaluate,
    }
