"""Correct: an evaluation that gives other figures before the accuracy, and counts its calls; a plateau of the error."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = None
LOG = {"calls": 0}


def blobs(n, seed, k=3, d=8):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 1.2
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return TensorDataset(centres[y] + torch.randn(n, d, generator=g), y)


@torch.no_grad()
def evaluate(model, val_set):
    model.eval()
    LOG["calls"] += 1
    table = torch.zeros(3, 3)
    for x, y in DataLoader(val_set, batch_size=50):
        answers = model(x).argmax(1)
        table += torch.bincount(y * 3 + answers, minlength=9).view(3, 3)
    share = (table[:, 0].sum() / table.sum()).item()
    accuracy = (table.diag().sum() / table.sum()).item()
    return {"epoch": LOG["calls"], "answers_of_0": share, "table": table.tolist(), "accuracy": accuracy}


def build():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
    return {
        "model": model,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "train_set": blobs(512, 0),
        "val_set": blobs(120, 1),
        "loss": nn.CrossEntropyLoss(),
        "evaluate": evaluate,
        "batch_size": 32,
        "epochs": 10,
    }
