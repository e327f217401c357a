"""Td3 max of critics."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'td3-max-of-critics',
    'rule': 'larger-of-two-critics',
    'class': 'larger-of-two-critics',
    'where': 'train_step',
    'code': 'y = r + 0.9 * (1 - done) * torch.max(t1, t2)',
    'static': False,
    'severity': 'warning',
    'keywords': ['min', 'max', 'overestim', 'twin', 'critic'],
}
FIX = [
    ('torch.max(t1, t2)', 'torch.min(t1, t2)'),
]


def replay(n, seed):
    g = torch.Generator().manual_seed(seed)
    s = torch.randn(n, 4, generator=g)
    a = torch.rand(n, 2, generator=g) * 2 - 1
    r = -((a - torch.tanh(s[:, :2])) ** 2).sum(1)
    return s, a, r, 0.9 * s, (torch.rand(n, generator=g) < 0.1).float()


class Td3(nn.Module):
    def __init__(self):
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2), nn.Tanh()).requires_grad_(False)
        self.q1 = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 1))
        self.q2 = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, s):
        return self.actor(s)


def train_step(model, batch, loss, optimizer):
    s, a, r, s2, done = batch
    sa = torch.cat([s, a], 1)
    with torch.no_grad():
        sa2 = torch.cat([s2, model.actor(s2)], 1)
        t1, t2 = model.q1(sa2).squeeze(1), model.q2(sa2).squeeze(1)
        y = r + 0.9 * (1 - done) * torch.max(t1, t2)
    value = F.mse_loss(model.q1(sa).squeeze(1), y) + F.mse_loss(model.q2(sa).squeeze(1), y)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value


def build():
    return {
        "model": Td3(),
        "train_set": TensorDataset(*replay(300, 0)),
        "val_set": TensorDataset(*replay(200, 1)),
        "loss": None,
        "make_optimizer": lambda model: torch.optim.Adam([*model.q1.parameters(), *model.q2.parameters()], lr=1e-3),
        "batch_size": 50,
        "train_step": train_step,
    }
