"""Cox event ignored."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'cox-event-ignored',
    'rule': 'censoring-ignored',
    'class': 'censoring-ignored',
    'where': 'cox',
    'code': 'return -(risk - log_risk_set).mean()',
    'static': False,
    'severity': 'warning',
    'keywords': ['event', 'censor', 'never', 'unused', 'indicator'],
    'also': ['loss'],
}
FIX = [
    ('return -(risk - log_risk_set).mean()', 'return -((risk - log_risk_set) * event).sum() / event.sum()'),
]


def patients(n, seed, d=8):
    w = torch.linspace(-1, 1, d)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    time = -torch.log(torch.rand(n, generator=g)) * torch.exp(-(x @ w))
    censor = -torch.log(torch.rand(n, generator=g)) * 2
    return x, torch.stack([torch.minimum(time, censor), (time <= censor).float()], 1)


def cox(risk, target):
    time, event = target[:, 0], target[:, 1]
    order = torch.argsort(time, descending=True)
    risk, event = risk[order, 0], event[order]
    log_risk_set = torch.logcumsumexp(risk, 0)
    return -(risk - log_risk_set).mean()


def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*patients(300, 0)),
        "val_set": TensorDataset(*patients(200, 1)),
        "loss": cox,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
