"""Correct: a quadratic kappa of ordered classes."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def evaluate(model, val_set):
    model.eval()
    x, y = val_set.tensors
    with torch.no_grad():
        out = model(x)
    answer = out.argmax(1)
    table = torch.zeros(4, 4)
    table.index_put_((y, answer), torch.ones(len(y)), accumulate=True)
    apart = (torch.arange(4)[:, None] - torch.arange(4)).square() / 9
    chance = table.sum(1, keepdim=True) * table.sum(0, keepdim=True) / len(y)
    return float(1 - (apart * table).sum() / (apart * chance).sum())


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
        "evaluate": evaluate,
    }
