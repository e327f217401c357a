"""The ridge penalty is computed from `.data`: it is added to the figure and has no gradient."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'penalty_of_data',
    'class': 'penalty-without-graph',
    'where': 'train_step',
    'also': ['.data', 'loss'],
    'code': 'w.data.square().sum()',
    'static': False,
    'severity': 'error',
    'keywords': ['.data', 'gradient', 'penalty', 'graph'],
    'rule': 'penalty-without-graph',
}
FIX = [
    ('w.data.square().sum()', 'w.square().sum()'),
]


def line(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 30, generator=g)
    return x, x[:, :1] - 2 * x[:, 1:2] + 0.3 * torch.randn(n, 1, generator=g)


def train_step(model, batch, loss, optimizer):
    x, y = batch
    ridge = sum(w.data.square().sum() for w in model.parameters())
    total = loss(model(x), y) + 1e-3 * ridge
    optimizer.zero_grad()
    total.backward()
    optimizer.step()
    return total.detach()


def build():
    return {
        "model": nn.Linear(30, 1),
        "train_set": TensorDataset(*line(300, 0)),
        "val_set": TensorDataset(*line(100, 1)),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.03),
        "train_step": train_step,
        "batch_size": 30,
        "epochs": 20,
    }
