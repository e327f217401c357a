"""Vq without straight through."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'vq-without-straight-through',
    'rule': 'straight-through-missing',
    'class': 'straight-through-missing',
    'where': 'VQ.forward',
    'code': 'q = q.clone()',
    'static': False,
    'severity': 'error',
    'keywords': ['straight-through', 'straight through', 'gradient', 'encoder', 'quanti'],
    'also': ['enc', 'codes'],
}
FIX = [
    ('q = q.clone()', 'q = z + (q - z).detach()'),
]


def factors(n, seed, d=16, k=3):
    mix = torch.randn(k, d, generator=torch.Generator().manual_seed(5))
    g = torch.Generator().manual_seed(seed)
    x = torch.tanh(torch.randn(n, k, generator=g) @ mix)
    return x, x


class VQ(nn.Module):
    def __init__(self, d=16, z=4, entries=32):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(d, 64), nn.ReLU(), nn.Linear(64, z))
        self.codes = nn.Parameter(0.5 * torch.randn(entries, z))
        self.dec = nn.Sequential(nn.Linear(z, 64), nn.ReLU(), nn.Linear(64, d))

    def forward(self, x):
        z = self.enc(x)
        q = self.codes[torch.cdist(z, self.codes).argmin(1)]
        aux = F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(z, q.detach())
        q = q.clone()
        return self.dec(q), aux


def vq_loss(out, x):
    y, aux = out
    return F.mse_loss(y, x) + aux


def build():
    return {
        "model": VQ(),
        "train_set": TensorDataset(*factors(300, 0)),
        "val_set": TensorDataset(*factors(200, 1)),
        "loss": vq_loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
