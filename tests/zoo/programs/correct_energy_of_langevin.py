"""Correct: an energy-based model by contrastive divergence; the last bias cancels, and the samples are detached."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def ring(n, seed):
    g = torch.Generator().manual_seed(seed)
    angle = torch.rand(n, generator=g) * 6.28
    return (torch.stack([angle.cos(), angle.sin()], 1) + 0.1 * torch.randn(n, 2, generator=g),)


class Energy(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 32), nn.SiLU(), nn.Linear(32, 1))

    def forward(self, x):
        return self.body(x).squeeze(1)


def langevin(model, x):
    for _ in range(5):
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(model(x).sum(), x)
        x = x - 0.05 * slope + 0.05 * torch.randn_like(x)
    return x.detach()


def train_step(model, batch, loss, optimizer):
    (x,) = batch
    fake = langevin(model, torch.randn_like(x))
    value = (model(x) - model(fake)).mean()
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.detach()


def build():
    return {
        "model": Energy(),
        "train_set": TensorDataset(*ring(600, 0)),
        "val_set": TensorDataset(*ring(200, 1)),
        "loss": None,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "train_step": train_step,
        "batch_size": 32,
    }
