"""Correct: a diffusion model draws time and noise in ``forward``, and gives the noise as its target."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(17, 32), nn.ReLU(), nn.Linear(32, 16))
        self.register_buffer("abar", torch.linspace(0.99, 0.01, 100))

    def forward(self, x):
        t = torch.randint(0, 100, (len(x),))
        noise = torch.randn_like(x)
        a = self.abar[t][:, None]
        xt = a.sqrt() * x + (1 - a).sqrt() * noise
        return self.net(torch.cat([xt, t[:, None] / 100], 1)), noise


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": lambda out, y: F.mse_loss(out[0], out[1]),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
