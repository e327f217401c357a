"""Both optimizers of a GAN hold the generator: the critic gets gradients and never moves."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'critic_in_no_optimizer',
    'class': 'not-in-optimizer',
    'where': 'make_optimizer',
    'also': ['critic'],
    'code': 'for part in (model.maker, model.maker)',
    'static': True,
    'severity': 'error',
    'keywords': ['not in the optimizer', 'never trained'],
    'rule': 'not-in-optimizer',
}
FIX = [
    ('for part in (model.maker, model.maker)', 'for part in (model.maker, model.critic)'),
]


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.maker = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 12))
        self.critic = nn.Sequential(nn.Linear(12, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, noise):
        return self.maker(noise)


def waves(n, seed):
    g = torch.Generator().manual_seed(seed)
    phase = 6.28 * torch.rand(n, 1, generator=g)
    return (torch.sin(phase + torch.arange(12) / 2) + 0.05 * torch.randn(n, 12, generator=g),)


def make_optimizer(model):
    return [torch.optim.Adam(part.parameters(), lr=2e-4, betas=(0.5, 0.99)) for part in (model.maker, model.maker)]


def train_step(model, batch, loss, optimizers):
    for_maker, for_critic = optimizers
    (real,) = batch
    noise = torch.randn(len(real), 4)
    with torch.no_grad():
        made = model(noise)
    model.critic.zero_grad()
    told = loss(model.critic(real), torch.ones(len(real), 1))
    (told + loss(model.critic(made), torch.zeros(len(real), 1))).backward()
    for_critic.step()
    model.zero_grad()
    fooled = loss(model.critic(model(noise)), torch.ones(len(real), 1))
    fooled.backward()
    for_maker.step()
    return fooled.item()


def build():
    return {
        "model": Pair(),
        "train_set": TensorDataset(*waves(600, 0)),
        "val_set": TensorDataset(*waves(200, 1)),
        "loss": nn.BCEWithLogitsLoss(),
        "make_optimizer": make_optimizer,
        "train_step": train_step,
        "batch_size": 40,
        "epochs": 20,
    }
