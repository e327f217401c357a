"""The error is taken between predictions in dollars and targets that are still standardised."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = {
    "id": 'seven-c22',
    "class": 'answers-misjudged',
    "where": 'evaluate',
    "code": 'predicted = model(x) * STD + MEAN',
    "static": False,
    "severity": 'error',
    "keywords": ['scale', 'unit', 'standard', 'normal', 'denormal'],
    "rule": 'answers-misjudged',
}
FIX = [
    ('(predicted - y).abs()', '(predicted - (y * STD + MEAN)).abs()'),
]


MEAN, STD = 250.0, 80.0


def prices(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=g)
    y = MEAN + STD * torch.tanh(x[:, :1] + x[:, 1:2] * x[:, 2:3]) + 10 * torch.randn(n, 1, generator=g)
    return TensorDataset(x, (y - MEAN) / STD)


@torch.no_grad()
def evaluate(model, val_set):
    model.eval()
    total = 0.0
    for x, y in DataLoader(val_set, batch_size=100):
        predicted = model(x) * STD + MEAN
        total += (predicted - y).abs().sum().item()
    model.train()
    return total / len(val_set)


def build():
    return {
        "model": nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": prices(600, 0),
        "val_set": prices(300, 1),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "evaluate": evaluate,
    }
