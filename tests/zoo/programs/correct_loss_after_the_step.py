"""Correct: a step that gives the loss after its update, to be logged."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def blobs(n, seed, k=3, d=8):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 1.2
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return TensorDataset(centres[y] + torch.randn(n, d, generator=g), y)


def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    loss(model(x), y).backward()
    optimizer.step()
    return loss(model(x), y).item()


def build():
    torch.manual_seed(0)
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3)),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "train_set": blobs(512, 0),
        "val_set": blobs(120, 1),
        "loss": nn.CrossEntropyLoss(),
        "batch_size": 32,
        "train_step": train_step,
    }
