"""The step keeps each loss, with its graph, in a list that a curve is drawn from."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'losses_kept_for_a_curve',
    'class': 'graph-kept',
    'where': 'curve',
    'also': ['train_step'],
    'code': 'curve.append(value)',
    'static': False,
    'severity': 'warning',
    'keywords': ['graph', 'detach', 'memory'],
    'rule': 'graph-kept',
}
FIX = [
    ('curve.append(value)', 'curve.append(value.item())'),
]

curve = []


def rows(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 7, generator=g)
    return x, (x[:, 0] * x[:, 1] > 0).long()


def train_step(model, batch, loss, optimizer):
    x, y = batch
    value = loss(model(x), y)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    curve.append(value)
    return value.detach()


def build():
    curve.clear()
    return {
        "model": nn.Sequential(nn.Linear(7, 40), nn.ReLU(), nn.Linear(40, 2)),
        "train_set": TensorDataset(*rows(800, 0)),
        "val_set": TensorDataset(*rows(200, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=3e-3),
        "train_step": train_step,
        "batch_size": 40,
        "epochs": 10,
    }
