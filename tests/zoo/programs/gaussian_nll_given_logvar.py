"""Gaussian nll given logvar."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'gaussian-nll-given-logvar',
    'rule': 'variance-negative',
    'class': 'variance-negative',
    'where': 'nll',
    'code': 'return F.gaussian_nll_loss(mu, y, logvar)',
    'static': False,
    'severity': 'error',
    'keywords': ['variance', 'var', 'logvar', 'exp', 'negative', 'positive'],
    'also': ['loss', 'gaussian_nll_loss'],
}
FIX = [
    ('F.gaussian_nll_loss(mu, y, logvar)', 'F.gaussian_nll_loss(mu, y, logvar.exp())'),
]


def hetero(n, seed, d=6):
    w = torch.linspace(-1, 1, d)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    s = 0.1 + 0.4 * x[:, 0].abs()
    return x, x @ w + s * torch.randn(n, generator=g)


class MeanVar(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 64), nn.ReLU())
        self.mean = nn.Linear(64, 1)
        self.spread = nn.Linear(64, 1)

    def forward(self, x):
        h = self.body(x)
        return self.mean(h).squeeze(1), self.spread(h).squeeze(1)


def nll(out, y):
    mu, logvar = out
    return F.gaussian_nll_loss(mu, y, logvar)


def build():
    return {
        "model": MeanVar(),
        "train_set": TensorDataset(*hetero(300, 0)),
        "val_set": TensorDataset(*hetero(200, 1)),
        "loss": nll,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
