"""Correct: an evaluation by what answers earn, which is no share."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = None


def blobs(n, seed, k=3, d=8):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 1.2
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return TensorDataset(centres[y] + torch.randn(n, d, generator=g), y)


@torch.no_grad()
def evaluate(model, val_set):
    was = model.training
    model.eval()
    earned = torch.tensor([[5.0, -1, -2], [-1, 3, -2], [-4, -1, 8]])
    total = sum(earned[y, model(x).argmax(1)].sum().item() for x, y in DataLoader(val_set, batch_size=50))
    model.train(was)
    return total / len(val_set)


def build():
    torch.manual_seed(0)
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3)),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "train_set": blobs(512, 0),
        "val_set": blobs(120, 1),
        "loss": nn.CrossEntropyLoss(),
        "batch_size": 32,
        "evaluate": evaluate,
    }
