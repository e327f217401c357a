"""A margin loss is given probabilities, which are never its margin apart."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "hinge-of-probabilities",
    "rule": "margin-of-probabilities",
    "class": "margin-of-probabilities",
    "where": 'model',
    "code": 'nn.Softmax(dim=1)',
    "static": False,
    "severity": "warning",
    "keywords": ['softmax', 'margin'],
}
FIX = [
    (', nn.Softmax(dim=1))', ')'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


def build():
    return {
        "model": nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 4), nn.Softmax(dim=1)),
        **sets(blobs),
        "loss": nn.MultiMarginLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 32,
    }
