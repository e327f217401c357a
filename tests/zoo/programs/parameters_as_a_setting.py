"""An attribute that hides a method."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'parameters-as-a-setting',
    "rule": 'method-hidden',
    "class": 'method-hidden',
    "where": 'parameters',
    "code": 'self.parameters = {"width": width}',
    "static": False,
    "severity": 'error',
    "keywords": ['parameters', 'method', 'hides'],
}
FIX = [
    ('self.parameters = {"width": width}', 'self.settings = {"width": width}'),
]


def clinic(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 12, generator=g)
    w = torch.randn(12, 3, generator=torch.Generator().manual_seed(99))
    y = (torch.tanh(x @ w) + 0.5 * x[:, :3] * x[:, 3:6] + 0.3 * torch.randn(n, 3, generator=g)).argmax(1)
    return TensorDataset(x, y)


TRAIN, VAL, LOSS = clinic(480, 0), clinic(200, 1), nn.CrossEntropyLoss()

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.parameters = {"width": width}
        self.f = nn.Linear(width, width)

    def forward(self, x):
        return x + F.relu(self.f(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inp = nn.Linear(12, 48)
        self.block = Block(48)
        self.out = nn.Linear(48, 3)

    def forward(self, x):
        return self.out(self.block(self.inp(x)))


def build():
    return {
        "model": Net(),
        "train_set": TRAIN,
        "val_set": VAL,
        "loss": LOSS,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=2e-3),
        "batch_size": 32,
        "epochs": 8,
    }
