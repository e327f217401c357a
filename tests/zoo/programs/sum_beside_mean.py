"""The divergence of a VAE is summed over the batch, its reconstruction averaged over everything."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "sum-beside-mean",
    "rule": "reductions-mixed",
    "class": "reductions-mixed",
    "where": 'loss',
    "code": 'kl = -0.5 * torch.sum(',
    "static": False,
    "severity": "warning",
    "keywords": ['reduction', 'sum', 'mean', 'batch'],
}
FIX = [
    ('F.mse_loss(recon, target) + kl', 'F.mse_loss(recon, target, reduction="sum") + kl'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(10, 32), nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 10))
        self.mean, self.log_var = nn.Linear(32, 4), nn.Linear(32, 4)

    def forward(self, x):
        h = torch.relu(self.encoder(x))
        mu, log_var = self.mean(h), self.log_var(h)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * log_var) if self.training else mu
        return self.decoder(z), mu, log_var


def criterion(outputs, target):
    recon, mu, log_var = outputs
    kl = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())
    return F.mse_loss(recon, target) + kl


def same(n, seed):
    x, _ = blobs(n, seed)
    return x, x.clone()


def build():
    return {"model": VAE(), **sets(same), "loss": criterion, "batch_size": 50,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3)}
