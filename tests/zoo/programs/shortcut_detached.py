"""Residual blocks whose shortcut passes no gradient."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'shortcut-detached',
    "rule": 'shortcut-detached',
    "class": 'shortcut-detached',
    "where": 'Block.forward',
    "code": 'return x.detach() + self.f(x)',
    "static": False,
    "severity": 'warning',
    "keywords": ['detach', 'gradient', 'residual'],
}
FIX = [
    ('x.detach() + self.f(x)', 'x + self.f(x)'),
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
        self.f = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, x):
        return x.detach() + self.f(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inp = nn.Linear(12, 64)
        self.blocks = nn.Sequential(*(Block(64) for _ in range(4)))
        self.out = nn.Linear(64, 3)

    def forward(self, x):
        return self.out(self.blocks(self.inp(x)))


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
