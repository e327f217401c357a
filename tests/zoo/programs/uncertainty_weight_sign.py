"""Uncertainty weight sign."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'uncertainty-weight-sign',
    'rule': 'uncertainty-unbounded',
    'class': 'uncertainty-unbounded',
    'where': 'MultiTask.forward',
    'code': 'total = total + torch.exp(s) * value + s',
    'static': False,
    'severity': 'error',
    'keywords': ['exp(-', 'sign', 'bound', 'log_var', 'uncertainty', 'log variance'],
    'also': ['loss', 'weighted', 'log_vars'],
}
FIX = [
    ('torch.exp(s) * value + s', 'torch.exp(-s) * value + s'),
]


def two_tasks(n, seed, d=8):
    w = torch.randn(d, 2, generator=torch.Generator().manual_seed(3))
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, x @ w + 0.1 * torch.randn(n, 2, generator=g)


class MultiTask(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
        self.log_vars = nn.Parameter(torch.zeros(2))

    def forward(self, x):
        return self.body(x), self.log_vars


def weighted(out, y):
    pred, log_vars = out
    total = 0
    for i in range(2):
        s = log_vars[i]
        value = F.mse_loss(pred[:, i], y[:, i])
        total = total + torch.exp(s) * value + s
    return total


def build():
    return {
        "model": MultiTask(),
        "train_set": TensorDataset(*two_tasks(300, 0)),
        "val_set": TensorDataset(*two_tasks(200, 1)),
        "loss": weighted,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
