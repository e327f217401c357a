"""The critic of a WGAN minimises real minus fake: it pulls the same way as the generator.
"""

import copy
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import TensorDataset

BUG = {
    'id': 'critic_pulls_as_generator',
    'class': 'adversarial-labels',
    'where': 'train_step',
    'also': ['critic', 'c_loss'],
    'code': 'c_loss = model.critic(real)',
    'static': False,
    'severity': 'error',
    'keywords': ['sign', 'same', 'real', 'fake', 'wasserstein', 'critic'],
    'rule': 'adversarial-labels',
}
FIX = [
    ('model.critic(real).mean() - model.critic(fake.detach()).mean()', 'model.critic(fake.detach()).mean() - model.critic(real).mean()'),
]


class W(nn.Module):
    def __init__(self):
        super().__init__()
        self.gen = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))
        self.critic = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, z):
        return self.gen(z)

def make_optimizers(m):
    return [torch.optim.RMSprop(m.gen.parameters(), lr=5e-5), torch.optim.RMSprop(m.critic.parameters(), lr=5e-5)]

def train_step(model, batch, loss, optimizers):
    opt_g, opt_c = optimizers
    real, _ = batch
    fake = model(torch.randn(len(real), 4))
    opt_c.zero_grad()
    c_loss = model.critic(real).mean() - model.critic(fake.detach()).mean()
    c_loss.backward()
    opt_c.step()
    with torch.no_grad():
        for p in model.critic.parameters():
            p.clamp_(-0.01, 0.01)
    opt_g.zero_grad()
    g_loss = -model.critic(fake).mean()
    g_loss.backward()
    opt_g.step()
    return c_loss.item()

def pairs(n, seed):
    g = torch.Generator().manual_seed(seed)
    t = torch.rand(n, generator=g) * 6.28
    return torch.stack([t.cos(), t.sin()], 1), torch.zeros(n)

def build():
    return {
        "model": W(), "train_set": TensorDataset(*pairs(600, 0)), "val_set": TensorDataset(*pairs(200, 1)),
        "loss": None, "make_optimizer": lambda m: make_optimizers(m), "train_step": train_step,
        "batch_size": 40, "epochs": 10,
    }
