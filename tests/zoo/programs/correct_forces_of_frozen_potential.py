"""Correct: forces of a frozen potential are the targets of a small network."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

BUG = None


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    return (torch.randn(n, 3, generator=g),)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.potential = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 1)).requires_grad_(False)
        self.force = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 3))

    def forward(self, x):
        return self.force(x)


def train_step(model, batch, loss, optimizer):
    x = batch[0].requires_grad_()
    goal = -torch.autograd.grad(model.potential(x).sum(), x)[0]
    value = F.mse_loss(model(x.detach()), goal)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.detach()


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*data(160, 0)),
        "train_step": train_step,
        "batch_size": 32,
        "make_optimizer": lambda m: torch.optim.Adam(m.force.parameters(), lr=1e-3),
    }
