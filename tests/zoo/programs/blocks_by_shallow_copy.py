"""copy.copy shares the weights."""

import copy

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'blocks-by-shallow-copy',
    "rule": 'repeated-layer',
    "class": 'repeated-layer',
    "where": 'blocks',
    "code": 'copy.copy(block) for _ in range(4)',
    "static": False,
    "severity": 'warning',
    "keywords": ['share', 'same', 'copy.copy'],
}
FIX = [
    ('[copy.copy(block) for _ in range(4)]', '[nn.Sequential(nn.Linear(64, 64), nn.ReLU()) for _ in range(4)]'),
]


def clinic(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 12, generator=g)
    w = torch.randn(12, 3, generator=torch.Generator().manual_seed(99))
    y = (torch.tanh(x @ w) + 0.5 * x[:, :3] * x[:, 3:6] + 0.3 * torch.randn(n, 3, generator=g)).argmax(1)
    return TensorDataset(x, y)


TRAIN, VAL, LOSS = clinic(480, 0), clinic(200, 1), nn.CrossEntropyLoss()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inp = nn.Linear(12, 64)
        block = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
        self.blocks = nn.ModuleList([copy.copy(block) for _ in range(4)])
        self.out = nn.Linear(64, 3)

    def forward(self, x):
        x = self.inp(x)
        for block in self.blocks:
            x = block(x)
        return self.out(x)


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
