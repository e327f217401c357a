"""Correct: flow matching with noise at t = 1, so the velocity points to the noise."""

import math

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def moons(n, seed):
    g = torch.Generator().manual_seed(seed)
    t = torch.rand(n, generator=g) * math.pi
    s = (torch.rand(n, generator=g) > 0.5).float()
    x = torch.stack([t.cos() * (1 - 2 * s) + s, t.sin() * (1 - 2 * s) + 0.5 * s], 1)
    return (x + 0.05 * torch.randn(n, 2, generator=g),)


class Velocity(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))

    def forward(self, x, t):
        return self.net(torch.cat([x, t], 1))


def train_step(model, batch, loss, optimizer):
    (x1,) = batch
    x0 = torch.randn_like(x1)
    t = torch.rand(len(x1), 1)
    xt = (1 - t) * x1 + t * x0
    value = loss(model(xt, t), x0 - x1)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value


def build():
    return {
        "model": Velocity(),
        "train_set": TensorDataset(*moons(300, 0)),
        "val_set": TensorDataset(*moons(200, 1)),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
        "train_step": train_step,
    }
