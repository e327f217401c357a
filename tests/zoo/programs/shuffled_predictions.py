"""Predictions are gathered from a shuffled loader and compared with the labels in order."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = {
    "id": 'seven-c01',
    "class": 'order-lost-in-evaluation',
    "where": 'evaluate',
    "code": 'loader = DataLoader(val_set, batch_size=64, shuffle=True)',
    "static": False,
    "severity": 'error',
    "keywords": ['shuffle', 'order', 'align', 'mismatch'],
    "rule": 'order-lost-in-evaluation',
}
FIX = [
    ('batch_size=64, shuffle=True)', 'batch_size=64)'),
]


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


@torch.no_grad()
def evaluate(model, val_set):
    model.eval()
    loader = DataLoader(val_set, batch_size=64, shuffle=True)
    preds = torch.cat([model(x).argmax(1) for x, _ in loader])
    model.train()
    labels = val_set.tensors[1]
    return (preds == labels).float().mean().item()


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
