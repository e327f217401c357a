"""Correct: stochastic gradient Langevin dynamics, whose noise is by design larger than the gradient."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None
COUNT = 512


def lines(n, seed, d=8):
    g = torch.Generator().manual_seed(seed)
    w = torch.randn(d, 1, generator=torch.Generator().manual_seed(5))
    x = torch.randn(n, d, generator=g)
    return TensorDataset(x, (x @ w + 0.3 * torch.randn(n, 1, generator=g)) / 2.8)


def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    value = loss(model(x), y)
    value.backward()
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad.add_(torch.randn_like(p), alpha=(2 / (group["lr"] * COUNT)) ** 0.5)
    optimizer.step()
    return value.item()


def build():
    torch.manual_seed(0)
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1)),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=1e-4),
        "train_set": lines(COUNT, 0),
        "val_set": lines(128, 1),
        "train_step": train_step,
        "loss": nn.MSELoss(),
        "batch_size": 32,
    }
