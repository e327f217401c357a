"""Correct: a Wasserstein critic that sees real and generated samples in one batch, with weight clipping."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    a = torch.rand(n, generator=g) * 6.28
    return (torch.stack([a.cos(), a.sin()], 1) + 0.1 * torch.randn(n, 2, generator=g),)


class Gan(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
        self.critic = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))


def train_step(model, batch, loss_fn, optimizers):
    opt_g, opt_d = optimizers
    (x,) = batch
    n = len(x)
    fake = model.generator(torch.randn(n, 8)).detach()
    scores = model.critic(torch.cat([x, fake]))
    d_loss = (scores[n:] - scores[:n]).mean()
    opt_d.zero_grad()
    d_loss.backward()
    opt_d.step()
    with torch.no_grad():
        for p in model.critic.parameters():
            p.clamp_(-0.1, 0.1)
    g_loss = -model.critic(model.generator(torch.randn(n, 8))).mean()
    opt_g.zero_grad()
    g_loss.backward()
    opt_g.step()
    return d_loss.detach()


def build():
    return {
        "model": Gan(),
        "train_set": TensorDataset(*data(160, 0)),
        "train_step": train_step,
        "make_optimizer": lambda m: (
            torch.optim.RMSprop(m.generator.parameters(), lr=1e-3),
            torch.optim.RMSprop(m.critic.parameters(), lr=1e-3),
        ),
        "batch_size": 32,
    }
