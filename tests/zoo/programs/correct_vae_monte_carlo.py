"""Correct: a VAE whose divergence is estimated with the sample that it decodes."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def factors(n, seed, d=16, k=3):
    mix = torch.randn(k, d, generator=torch.Generator().manual_seed(5))
    g = torch.Generator().manual_seed(seed)
    x = torch.sigmoid(torch.randn(n, k, generator=g) @ mix)
    return x, x


class VAE(nn.Module):
    def __init__(self, d=16, z=4):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(d, 64), nn.ReLU(), nn.Linear(64, 2 * z))
        self.dec = nn.Sequential(nn.Linear(z, 64), nn.ReLU(), nn.Linear(64, d))

    def forward(self, x):
        mu, logvar = self.enc(x).chunk(2, 1)
        q = torch.distributions.Normal(mu, (0.5 * logvar).exp())
        z = q.rsample()
        p = torch.distributions.Normal(0.0, 1.0)
        return self.dec(z), (q.log_prob(z) - p.log_prob(z)).sum(1)


def elbo(out, x):
    xhat, kl = out
    return F.binary_cross_entropy_with_logits(xhat, x, reduction="sum") / len(x) + kl.mean()


def build():
    return {
        "model": VAE(),
        "train_set": TensorDataset(*factors(300, 0)),
        "val_set": TensorDataset(*factors(200, 1)),
        "loss": elbo,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
