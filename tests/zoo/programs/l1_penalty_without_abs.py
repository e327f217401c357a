"""L1 penalty without abs."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'l1-penalty-without-abs',
    'rule': 'penalty-linear',
    'class': 'penalty-linear',
    'where': 'Lasso.forward',
    'code': 'penalty = sum(p.sum() for p in self.model.parameters())',
    'static': False,
    'severity': 'error',
    'keywords': ['abs', 'linear', 'norm', 'bound', 'negative', 'sign'],
    'also': ['loss', 'penalty'],
}
FIX = [
    ('p.sum() for p', 'p.abs().sum() for p'),
]


def line(n, seed, d=8):
    w = torch.linspace(-1, 1, d)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, (x @ w + 0.3 * torch.randn(n, generator=g))[:, None]

class Lasso(nn.Module):
    def __init__(self, model, weight=1e-2):
        super().__init__()
        self.model, self.weight = model, weight

    def forward(self, pred, y):
        penalty = sum(p.sum() for p in self.model.parameters())
        return F.mse_loss(pred, y) + self.weight * penalty


net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))


def build():
    return {
        "model": net,
        "train_set": TensorDataset(*line(300, 0)),
        "val_set": TensorDataset(*line(200, 1)),
        "loss": Lasso(net),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
