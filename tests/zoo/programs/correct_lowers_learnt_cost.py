"""Correct: a controller lowers the cost that a critic has learnt of its actions."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

BUG = None


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    s, a = torch.randn(n, 3, generator=g), torch.randn(n, 2, generator=g)
    return s, a, (a - s[:, :2]).pow(2).sum(1)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 2))
        self.critic = nn.Sequential(nn.Linear(5, 32), nn.Tanh(), nn.Linear(32, 1))


def train_step(model, batch, loss, optimizers):
    opt_a, opt_c = optimizers
    state, action, cost = batch
    guess = model.critic(torch.cat([state, action], 1)).squeeze(1)
    critic_loss = F.mse_loss(guess, cost)
    opt_c.zero_grad()
    critic_loss.backward()
    opt_c.step()
    actor_loss = model.critic(torch.cat([state, model.actor(state)], 1)).mean()
    opt_a.zero_grad()
    actor_loss.backward()
    opt_a.step()
    return critic_loss.detach()


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*data(160, 0)),
        "train_step": train_step,
        "batch_size": 32,
        "make_optimizer": lambda m: (
            torch.optim.Adam(m.actor.parameters(), lr=1e-3),
            torch.optim.Adam(m.critic.parameters(), lr=1e-3),
        ),
    }
