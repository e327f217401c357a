"""Sac entropy sign."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'sac-entropy-sign',
    'rule': 'entropy-minimised',
    'class': 'entropy-minimised',
    'where': 'train_step',
    'code': 'actor_loss = (-0.2 * log_prob - q).mean()',
    'static': False,
    'severity': 'error',
    'keywords': ['entropy', 'sign', 'log_prob', 'alpha', 'temperature'],
}
FIX = [
    ('(-0.2 * log_prob - q)', '(0.2 * log_prob - q)'),
]


def replay(n, seed):
    g = torch.Generator().manual_seed(seed)
    s = torch.randn(n, 4, generator=g)
    a = torch.rand(n, 2, generator=g) * 2 - 1
    r = -((a - torch.tanh(s[:, :2])) ** 2).sum(1)
    return s, a, r


class Sac(nn.Module):
    def __init__(self):
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 4))
        self.critic = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, s):
        return self.actor(s)


def make_optimizer(model):
    return [torch.optim.Adam(model.actor.parameters(), 1e-3), torch.optim.Adam(model.critic.parameters(), 1e-3)]


def train_step(model, batch, loss, optimizers):
    s, a, r = batch
    opt_actor, opt_critic = optimizers
    critic_loss = F.mse_loss(model.critic(torch.cat([s, a], 1)).squeeze(1), r)
    opt_critic.zero_grad()
    critic_loss.backward()
    opt_critic.step()
    mean, log_std = model.actor(s).chunk(2, 1)
    dist = torch.distributions.Normal(mean, log_std.clamp(-3, 1).exp())
    u = dist.rsample()
    action = torch.tanh(u)
    log_prob = (dist.log_prob(u) - torch.log(1 - action ** 2 + 1e-6)).sum(1)
    q = model.critic(torch.cat([s, action], 1)).squeeze(1)
    actor_loss = (-0.2 * log_prob - q).mean()
    opt_actor.zero_grad()
    actor_loss.backward()
    opt_actor.step()
    return critic_loss


def build():
    return {
        "model": Sac(),
        "train_set": TensorDataset(*replay(300, 0)),
        "val_set": TensorDataset(*replay(200, 1)),
        "loss": None,
        "make_optimizer": make_optimizer,
        "batch_size": 50,
        "train_step": train_step,
    }
