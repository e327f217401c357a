"""Vae kl mu not squared."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'vae-kl-mu-not-squared',
    'rule': 'divergence-not-centred',
    'class': 'divergence-not-centred',
    'where': 'vae_loss',
    'code': 'kl = -0.5 * (1 + logvar - mu - logvar.exp()).sum() / len(x)',
    'static': False,
    'severity': 'error',
    'keywords': ['KL', 'mu', 'square', 'diverg', 'bound', 'pow'],
    'also': ['loss'],
}
FIX = [
    ('- mu -', '- mu.pow(2) -'),
]


def factors(n, seed, d=16, k=3):
    mix = torch.randn(k, d, generator=torch.Generator().manual_seed(5))
    g = torch.Generator().manual_seed(seed)
    x = torch.sigmoid(torch.randn(n, k, generator=g) @ mix + 0.1 * torch.randn(n, d, generator=g))
    return x, x


class VAE(nn.Module):
    def __init__(self, d=16, z=4):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(d, 64), nn.ReLU())
        self.mu = nn.Linear(64, z)
        self.logvar = nn.Linear(64, z)
        self.dec = nn.Sequential(nn.Linear(z, 64), nn.ReLU(), nn.Linear(64, d))

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.randn_like(std)
        return mu + eps * std

    def forward(self, x):
        h = self.enc(x)
        mu, logvar = self.mu(h), self.logvar(h)
        return self.dec(self.reparameterize(mu, logvar)), mu, logvar


def vae_loss(out, x):
    xhat, mu, logvar = out
    recon = F.binary_cross_entropy_with_logits(xhat, x, reduction="sum") / len(x)
    kl = -0.5 * (1 + logvar - mu - logvar.exp()).sum() / len(x)
    return recon + kl


def build():
    return {
        "model": VAE(),
        "train_set": TensorDataset(*factors(300, 0)),
        "val_set": TensorDataset(*factors(200, 1)),
        "loss": vae_loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
