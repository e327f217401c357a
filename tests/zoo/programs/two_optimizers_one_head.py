"""The head has an optimizer of its own and is in the first one too: both step along the same gradient."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'two_optimizers_one_head',
    'class': 'parameter-twice',
    'where': 'make_optimizer',
    'also': ['head'],
    'code': 'torch.optim.Adam(model.parameters(), lr=1e-3)',
    'static': True,
    'severity': 'error',
    'keywords': ['more than once', 'duplicate', 'twice', 'two optimizers'],
    'rule': 'parameter-twice',
}
FIX = [
    ('torch.optim.Adam(model.parameters(), lr=1e-3)', 'torch.optim.Adam(model.trunk.parameters(), lr=1e-3)'),
]


class Scorer(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(9, 40), nn.ReLU())
        self.head = nn.Linear(40, 1)

    def forward(self, x):
        return self.head(self.trunk(x))


def rows(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 9, generator=g)
    return x, (x[:, :1] * x[:, 1:2] + x[:, 2:3] > 0).float()


def make_optimizer(model):
    return [torch.optim.Adam(model.parameters(), lr=1e-3), torch.optim.Adam(model.head.parameters(), lr=5e-3)]


def train_step(model, batch, loss, optimizers):
    x, y = batch
    for optimizer in optimizers:
        optimizer.zero_grad()
    value = loss(model(x), y)
    value.backward()
    for optimizer in optimizers:
        optimizer.step()
    return value.item()


def build():
    return {
        "model": Scorer(),
        "train_set": TensorDataset(*rows(600, 0)),
        "val_set": TensorDataset(*rows(200, 1)),
        "loss": nn.BCEWithLogitsLoss(),
        "make_optimizer": make_optimizer,
        "train_step": train_step,
        "batch_size": 40,
        "epochs": 10,
    }
