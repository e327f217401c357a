"""The L1 penalty is added after backward(): it is reported and never minimised.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'penalty_after_backward',
    'class': 'term-never-minimised',
    'where': 'train_step',
    'also': ['penalty', 'loss'],
    'code': 'loss = loss + 1e-2 * l1',
    'static': False,
    'severity': 'error',
    'keywords': ['backward', 'after', 'no gradient', 'never', 'penalty', 'regulari'],
    'rule': 'term-never-minimised',
}
FIX = [
    ('    loss.backward()\n    l1 = sum(p.abs().sum() for p in model.parameters())\n    loss = loss + 1e-2 * l1\n', '    l1 = sum(p.abs().sum() for p in model.parameters())\n    loss = loss + 1e-2 * l1\n    loss.backward()\n'),
]


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 20, generator=g)
    return x, x[:, :1] * 0.7 + x[:, 1:2]

def train_step(model, batch, criterion, optimizer):
    x, y = batch
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    l1 = sum(p.abs().sum() for p in model.parameters())
    loss = loss + 1e-2 * l1
    optimizer.step()
    return loss.item()

def build():
    return {
        "model": nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*data(500, 0)), "val_set": TensorDataset(*data(100, 1)),
        "loss": nn.MSELoss(), "train_step": train_step, "batch_size": 50, "epochs": 8,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
    }
