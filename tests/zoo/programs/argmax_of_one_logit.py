"""A binary classifier with one output is evaluated by argmax, which is always 0."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = {
    "id": 'seven-c04',
    "class": 'answers-misjudged',
    "where": 'evaluate',
    "code": 'pred = model(x).argmax(dim=1)',
    "static": False,
    "severity": 'error',
    "keywords": ['argmax', 'one output', 'single', 'always 0', 'sigmoid', 'threshold'],
    "rule": 'answers-misjudged',
}
FIX = [
    ('pred = model(x).argmax(dim=1)', 'pred = (model(x)[:, 0] > 0).long()'),
]


def moons(n, seed):
    g = torch.Generator().manual_seed(seed)
    t = torch.rand(n, generator=g) * 3.1416
    y = torch.randint(0, 2, (n,), generator=g)
    x = torch.stack([torch.cos(t) + y, torch.sin(t) * (1 - 2 * y) + 0.3 * y], 1)
    return x + 0.1 * torch.randn(n, 2, generator=g), y[:, None].float()


@torch.no_grad()
def evaluate(model, val_set):
    model.eval()
    hits, total = 0, 0
    for x, y in DataLoader(val_set, batch_size=100):
        pred = model(x).argmax(dim=1)
        hits += (pred == y[:, 0].long()).sum().item()
        total += len(y)
    model.train()
    return hits / total


def build():
    return {
        "model": nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*moons(600, 0)),
        "val_set": TensorDataset(*moons(300, 1)),
        "loss": nn.BCEWithLogitsLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "evaluate": evaluate,
    }
