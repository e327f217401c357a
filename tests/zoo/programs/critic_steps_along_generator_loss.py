"""The critic's gradients are cleared before the generator's backward fills them again."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop214",
    "class": 'gradients-of-another-loss',
    "where": 'train_step',
    "code": 'value.backward()',
    "static": False,
    "severity": 'warning',
    "keywords": ['zero_grad', 'gradient'],
    "rule": 'gradients-of-another-loss',
}
FIX = [
    ('    value.backward()\n', '    optimizers[1].zero_grad()\n    value.backward()\n'),
]

class Gan(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1))
        self.critic = nn.Sequential(nn.Linear(1, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, z):
        return self.generator(z)


def make_optimizer(model):
    return [
        torch.optim.Adam(model.generator.parameters(), lr=2e-3, betas=(0.5, 0.9)),
        torch.optim.Adam(model.critic.parameters(), lr=2e-3, betas=(0.5, 0.9)),
    ]


def train_step(model, batch, loss, optimizers):
    (real,) = batch
    fake = model(torch.randn(len(real), 4))
    value = loss(model.critic(real), torch.ones(len(real), 1))
    value = value + loss(model.critic(fake.detach()), torch.zeros(len(real), 1))
    value.backward()
    optimizers[1].step()
    optimizers[1].zero_grad()
    optimizers[0].zero_grad()
    loss(model.critic(fake), torch.ones(len(real), 1)).backward()
    optimizers[0].step()
    return value


def build():
    g = torch.Generator().manual_seed(0)
    return {
        "model": Gan(),
        "train_set": TensorDataset(torch.randn(1000, 1, generator=g) * 0.5 + 3.0),
        "val_set": TensorDataset(torch.randn(300, 1, generator=g) * 0.5 + 3.0),
        "loss": nn.BCEWithLogitsLoss(),
        "make_optimizer": make_optimizer,
        "train_step": train_step,
        "batch_size": 50,
        "epochs": 20,
    }
