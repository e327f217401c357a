"""The data are in 0..1 already; evaluate divides by 255 once more."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = {
    "id": 'seven-c10',
    "class": 'evaluation-input-range',
    "where": 'evaluate',
    "code": 'x = x.float() / 255',
    "static": False,
    "severity": 'error',
    "keywords": ['255', 'twice', 'scale', 'range', 'normal'],
    "rule": 'evaluation-input-range',
}
FIX = [
    ('x = x.float() / 255', 'x = x.float()'),
]


def digits(n, seed, k=5):
    base = torch.rand(k, 64, generator=torch.Generator().manual_seed(3))
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return (base[y] + 0.2 * torch.randn(n, 64, generator=g)).clamp(0, 1), y


@torch.no_grad()
def evaluate(model, val_set):
    model.eval()
    total = 0
    for x, y in DataLoader(val_set, batch_size=64):
        x = x.float() / 255
        total += (model(x).argmax(1) == y).sum().item()
    model.train()
    return total / len(val_set)


def build():
    return {
        "model": nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 5)),
        "train_set": TensorDataset(*digits(500, 0)),
        "val_set": TensorDataset(*digits(250, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "evaluate": evaluate,
    }
