"""The noise of a VAE is scaled by the variance, the divergence takes the output for its logarithm."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "logvar_as_log_of_std",
    "rule": "deviation-unlike-divergence",
    "class": "deviation-unlike-divergence",
    "where": 'std',
    "code": 'z = mu + logvar.exp()',
    "static": False,
    "severity": "error",
    "keywords": ['logvar', 'std'],
}
FIX = [
    ('logvar.exp() * torch', '(0.5 * logvar).exp() * torch'),
]


def gen(s):
    return torch.Generator().manual_seed(s)


def images(n, seed):
    """Bars in 8 x 8 pictures of 0 to 1."""
    g = gen(seed)
    x = torch.zeros(n, 64)
    at = torch.randint(0, 8, (n,), generator=g)
    for i, a in enumerate(at.tolist()):
        p = torch.zeros(8, 8)
        if i % 2:
            p[a] = 1
        else:
            p[:, a] = 1
        x[i] = p.flatten()
    return (x * 0.9 + 0.05 * torch.rand(n, 64, generator=g)).clamp(0, 1), at



class Net(nn.Module):
    def __init__(self, z=4):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2 * z))
        self.dec = nn.Sequential(nn.Linear(z, 64), nn.ReLU(), nn.Linear(64, 64))

    def forward(self, x):
        mu, logvar = self.enc(x).chunk(2, 1)
        z = mu + logvar.exp() * torch.randn_like(mu)
        return self.dec(z), mu, logvar


def pictures(n, seed):
    x, _ = images(n, seed)
    return x, x


def loss(out, x):
    logits, mu, logvar = out
    recon = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1).mean()
    kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()
    return recon + kl

def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*pictures(160, 0)),
        "val_set": TensorDataset(*pictures(64, 1)),
        "loss": loss,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
        "batch_size": 32,
    }
