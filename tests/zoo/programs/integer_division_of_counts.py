"""Accuracy by floor division: it is 0 until every single answer is right."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = {
    "id": 'seven-c23',
    "class": 'figure-rounded-down',
    "where": 'evaluate',
    "code": 'return correct // total',
    "static": False,
    "severity": 'error',
    "keywords": ['integer division', '//', 'floor', 'always 0', 'rounds'],
    "rule": 'figure-rounded-down',
}
FIX = [
    ('correct // total', 'correct / total'),
]


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


@torch.no_grad()
def evaluate(model, val_set):
    model.eval()
    correct, total = 0, 0
    for x, y in DataLoader(val_set, batch_size=50):
        correct += int((model(x).argmax(1) == y).sum())
        total += y.numel()
    model.train()
    return correct // total


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "evaluate": evaluate,
    }
