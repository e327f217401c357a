"""The validation loader drops the last batch, the count is divided by all samples."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = {
    "id": 'seven-c02',
    "class": 'divides-by-unseen',
    "where": 'evaluate',
    "code": 'loader = DataLoader(val_set, batch_size=128, drop_last=True)',
    "static": False,
    "severity": 'warning',
    "keywords": ['drop_last', 'last batch', 'dropped', 'divide'],
    "rule": 'divides-by-unseen',
}
FIX = [
    (', drop_last=True)', ')'),
]


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def evaluate(model, val_set):
    model.eval()
    loader = DataLoader(val_set, batch_size=128, drop_last=True)
    correct = 0
    with torch.no_grad():
        for inputs, labels in loader:
            out = model(inputs)
            _, predicted = torch.max(out, 1)
            correct += (predicted == labels).sum().item()
    model.train()
    return correct / len(val_set)


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
