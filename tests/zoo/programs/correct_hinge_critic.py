"""Correct: a hinge critic whose last bias has a gradient of exactly 0 at first, beside a normed weight."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from torch.utils.data import TensorDataset

BUG = None


class Gan(nn.Module):
    def __init__(self):
        super().__init__()
        self.g = nn.Sequential(weight_norm(nn.Linear(6, 48)), nn.ReLU(), weight_norm(nn.Linear(48, 3)))
        self.d = nn.Sequential(
            spectral_norm(nn.Linear(3, 48)), nn.LeakyReLU(0.2), spectral_norm(nn.Linear(48, 1))
        )

    def forward(self, z):
        return self.g(z)


def train_step(model, batch, loss, optimizers):
    (x,) = batch
    og, od = optimizers
    z = torch.randn(len(x), 6)
    d = F.relu(1 - model.d(x)).mean() + F.relu(1 + model.d(model.g(z).detach())).mean()
    od.zero_grad()
    d.backward()
    od.step()
    model.d.requires_grad_(False)
    g = -model.d(model.g(torch.randn(len(x), 6))).mean()
    og.zero_grad()
    g.backward()
    og.step()
    model.d.requires_grad_(True)
    return {"loss": g.detach(), "d": d.detach()}["loss"]


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    c = torch.tensor([[1.0, 1, 0], [-1, 0, 1], [0, -1, -1]])
    return c[torch.randint(0, 3, (n,), generator=g)] + 0.2 * torch.randn(n, 3, generator=g)


def build():
    return {
        "model": Gan(),
        "train_set": TensorDataset(data(900, 0)),
        "val_set": TensorDataset(data(200, 1)),
        "loss": None,
        "train_step": train_step,
        "batch_size": 64,
        "make_optimizer": lambda m: [
            torch.optim.Adam(m.g.parameters(), lr=2e-4, betas=(0.5, 0.999)),
            torch.optim.Adam(m.d.parameters(), lr=4e-4, betas=(0.5, 0.999)),
        ],
    }
