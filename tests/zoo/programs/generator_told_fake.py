"""The generator of a GAN is trained to be told as fake."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "generator_told_fake",
    "rule": "adversarial-labels",
    "class": "adversarial-labels",
    "where": 'labels',
    "code": 'g = loss(',
    "static": False,
    "severity": "error",
    "keywords": ['label', 'generator'],
}
FIX = [
    ('g = loss(model.critic(fake), zero)', 'g = loss(model.critic(fake), one)'),
]


def gen(s):
    return torch.Generator().manual_seed(s)


def points(n, seed, d=8, k=3):
    c = torch.randn(k, d, generator=gen(7)) * 1.5
    g = gen(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return c[y] + 0.4 * torch.randn(n, d, generator=g), y



class Gan(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 8))
        self.critic = nn.Sequential(nn.Linear(8, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))

    def forward(self, z):
        return self.generator(z)


def make_optimizer(model):
    return [
        torch.optim.Adam(model.generator.parameters(), lr=2e-4, betas=(0.5, 0.99)),
        torch.optim.Adam(model.critic.parameters(), lr=2e-4, betas=(0.5, 0.99)),
    ]


def train_step(model, batch, loss, optimizers):
    real, _ = batch
    one, zero = torch.ones(len(real), 1), torch.zeros(len(real), 1)
    fake = model(torch.randn(len(real), 8))
    optimizers[1].zero_grad()
    value = loss(model.critic(real), one) + loss(model.critic(fake.detach()), zero)
    value.backward()
    optimizers[1].step()
    optimizers[0].zero_grad()
    g = loss(model.critic(fake), zero)
    g.backward()
    optimizers[0].step()
    return value

def build():
    return {
        "model": Gan(),
        "train_set": TensorDataset(*points(160, 0)),
        "val_set": TensorDataset(*points(64, 1)),
        "loss": nn.BCEWithLogitsLoss(),
        "make_optimizer": make_optimizer,
        "batch_size": 32,
        "train_step": train_step,
    }
