"""Correct: the whole objective is shown, with the decay that the optimizer itself takes care of."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def train_step(model, batch, loss, optimizer):
    x, y = batch
    value = loss(model(x), y)
    optimizer.zero_grad()
    value.backward()
    decay = 0.5 * 1e-3 * sum(p.square().sum() for p in model.parameters())
    shown = value + decay
    optimizer.step()
    return shown.item()


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.05, weight_decay=1e-3),
        "batch_size": 50,
        "train_step": train_step,
    }
