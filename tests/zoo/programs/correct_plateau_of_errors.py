"""Correct: a plateau of the share of wrong answers, 1 - accuracy, which is to fall."""

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
    model.eval()
    hits = 0
    for x, y in DataLoader(val_set, batch_size=50):
        hits += (model(x).argmax(1) == y).sum().item()
    return 1 - hits / len(val_set)


def build():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
    return {
        "model": model,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "make_scheduler": lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=3),
        "interval": "epoch",
        "train_set": blobs(512, 0),
        "val_set": blobs(120, 1),
        "loss": nn.CrossEntropyLoss(),
        "evaluate": evaluate,
        "batch_size": 32,
        "epochs": 30,
    }
