"""Correct: an autoencoder whose latents are held by a tiny divergence, as for latent diffusion."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

BUG = None


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(n, 4, generator=g)
    w = torch.randn(4, 16, generator=torch.Generator().manual_seed(3))
    x = torch.tanh(z @ w) + 0.05 * torch.randn(n, 16, generator=g)
    return x, x


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))
        self.decoder = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 16))

    def forward(self, x):
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return self.decoder(z), mu, logvar


def loss(out, x):
    recon, mu, logvar = out
    kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean()
    return F.mse_loss(recon, x, reduction="none").sum(1).mean() + 1e-6 * kl


def build():
    return {
        "model": Vae(),
        "train_set": TensorDataset(*data(160, 0)),
        "val_set": TensorDataset(*data(100, 1)),
        "loss": loss,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
        "batch_size": 32,
    }
