"""Wgan critic ends in sigmoid."""

import math

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'wgan-critic-ends-in-sigmoid',
    'rule': 'critic-bounded',
    'class': 'critic-bounded',
    'where': 'Gan.d',
    'code': 'self.d = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1), nn.Sigmoid())',
    'static': False,
    'severity': 'warning',
    'keywords': ['sigmoid', 'critic', 'Wasserstein', 'WGAN', 'bounded'],
    'also': ['train_step'],
}
FIX = [
    (', nn.Sigmoid())', ')'),
]


class Gan(nn.Module):
    def __init__(self):
        super().__init__()
        self.g = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
        self.d = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1), nn.Sigmoid())

    def forward(self, z):
        return self.g(z)


def make_optimizer(model):
    return [torch.optim.Adam(model.g.parameters(), 1e-3, betas=(0.0, 0.9)), torch.optim.Adam(model.d.parameters(), 1e-3, betas=(0.0, 0.9))]


def ring(n, seed):
    g = torch.Generator().manual_seed(seed)
    a = torch.rand(n, generator=g) * 2 * math.pi
    return (torch.stack([a.cos(), a.sin()], 1) + 0.05 * torch.randn(n, 2, generator=g),)


def train_step(model, batch, loss, optimizers):
    (real,) = batch
    opt_g, opt_d = optimizers
    fake = model(torch.randn(len(real), 8)).detach()
    d_loss = model.d(fake).mean() - model.d(real).mean()
    opt_d.zero_grad()
    d_loss.backward()
    opt_d.step()
    for p in model.d.parameters():
        p.data.clamp_(-0.05, 0.05)
    g_loss = -model.d(model(torch.randn(len(real), 8))).mean()
    opt_g.zero_grad()
    g_loss.backward()
    opt_g.step()
    return d_loss


def build():
    return {
        "model": Gan(),
        "train_set": TensorDataset(*ring(300, 0)),
        "val_set": TensorDataset(*ring(200, 1)),
        "loss": None,
        "make_optimizer": make_optimizer,
        "batch_size": 50,
        "train_step": train_step,
    }
