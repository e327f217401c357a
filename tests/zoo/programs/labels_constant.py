"""A threshold that nothing reaches: all labels are 0."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop311",
    "class": 'constant-target',
    "where": 'train_set',
    "code": '(x[:, 0] > 9).long()',
    "static": False,
    "severity": 'error',
    "keywords": ['same for every', 'constant', 'equal'],
    "rule": 'constant-target',
}
FIX = [
    ('> 9', '> 0.2'),
]


def above(n, seed):
    x = torch.randn(n, 8, generator=torch.Generator().manual_seed(seed))
    return x, (x[:, 0] > 9).long()


def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2)),
        "train_set": TensorDataset(*above(600, 0)),
        "val_set": TensorDataset(*above(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
    }
