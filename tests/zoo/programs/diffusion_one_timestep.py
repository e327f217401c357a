"""Diffusion one timestep."""

import math

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'diffusion-one-timestep',
    'rule': 'timestep-shared',
    'class': 'timestep-shared',
    'where': 'train_step',
    'code': 't = torch.randint(0, T, (1,)).expand(len(x0))',
    'static': False,
    'severity': 'warning',
    'keywords': ['timestep', 'one t', 'same t', 'per sample', 'whole batch', 'each sample', 'batch'],
}
FIX = [
    ('torch.randint(0, T, (1,)).expand(len(x0))', 'torch.randint(0, T, (len(x0),))'),
]


def spiral(n, seed):
    g = torch.Generator().manual_seed(seed)
    t = torch.rand(n, generator=g) * 3 * math.pi
    x = torch.stack([t.cos(), t.sin()], 1) * t[:, None] / 6
    return (x + 0.02 * torch.randn(n, 2, generator=g),)


T = 100
BETAS = torch.linspace(1e-4, 0.1, T)
ALPHAS = 1 - BETAS
ALPHA_BAR = torch.cumprod(ALPHAS, 0)


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.time = nn.Embedding(T, 16)
        self.net = nn.Sequential(nn.Linear(18, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))

    def forward(self, x, t):
        return self.net(torch.cat([x, self.time(t)], 1))


def train_step(model, batch, loss, optimizer):
    (x0,) = batch
    t = torch.randint(0, T, (1,)).expand(len(x0))
    noise = torch.randn_like(x0)
    ab = ALPHA_BAR[t][:, None]
    xt = ab.sqrt() * x0 + (1 - ab).sqrt() * noise
    value = loss(model(xt, t), noise)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value



def build():
    return {
        "model": Denoiser(),
        "train_set": TensorDataset(*spiral(300, 0)),
        "val_set": TensorDataset(*spiral(200, 1)),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
        "train_step": train_step,
    }
