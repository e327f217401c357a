"""Correct: a plateau of R2, 1 - error / variance, which is to rise."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

BUG = None


def lines(n, seed, d=8):
    g = torch.Generator().manual_seed(seed)
    w = torch.randn(d, 1, generator=torch.Generator().manual_seed(5))
    x = torch.randn(n, d, generator=g)
    return TensorDataset(x, (x @ w + 0.3 * torch.randn(n, 1, generator=g)) / 2.8)


@torch.no_grad()
def evaluate(model, val_set):
    model.eval()
    parts = [(model(x), y) for x, y in DataLoader(val_set, batch_size=50)]
    answers, y = (torch.cat(p) for p in zip(*parts, strict=True))
    return 1 - (F.mse_loss(answers, y) / y.var(correction=0)).item()


def build():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
    return {
        "model": model,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "make_scheduler": lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, mode="max", patience=3),
        "interval": "epoch",
        "train_set": lines(512, 0),
        "val_set": lines(120, 1),
        "loss": nn.MSELoss(),
        "evaluate": evaluate,
        "batch_size": 32,
        "epochs": 30,
    }
