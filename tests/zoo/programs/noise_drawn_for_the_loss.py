"""A diffusion model is to predict noise that it never saw."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "noise_drawn_for_the_loss",
    "rule": "target-random",
    "class": "target-random",
    "where": 'target',
    "code": 'value = loss(model(noisy, t), torch.randn_like(x))',
    "static": False,
    "severity": "error",
    "keywords": ['noise', 'target'],
}
FIX = [
    ('t), torch.randn_like(x))', 't), noise)'),
]


def gen(s):
    return torch.Generator().manual_seed(s)


def points(n, seed, d=8, k=3):
    c = torch.randn(k, d, generator=gen(7)) * 1.5
    g = gen(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return c[y] + 0.4 * torch.randn(n, d, generator=g), y



BETAS = torch.linspace(1e-3, 0.2, 50)
ABAR = (1 - BETAS).cumprod(0)


class Net(nn.Module):
    def __init__(self, d=8):
        super().__init__()
        self.time = nn.Embedding(50, 32)
        self.first, self.second, self.last = nn.Linear(d, 64), nn.Linear(64, 64), nn.Linear(64, d)
        self.shift = nn.Linear(32, 64)

    def forward(self, x, t):
        h = F.silu(self.first(x) + self.shift(self.time(t)))
        return self.last(F.silu(self.second(h)))


def train_step(model, batch, loss, optimizer):
    x, _ = batch
    t = torch.randint(0, 50, (len(x),))
    a = ABAR[t][:, None]
    noise = torch.randn_like(x)
    noisy = a.sqrt() * x + (1 - a).sqrt() * noise
    value = loss(model(noisy, t), torch.randn_like(x))
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value

def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*points(160, 0)),
        "val_set": TensorDataset(*points(64, 1)),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
        "batch_size": 32,
        "train_step": train_step,
    }
