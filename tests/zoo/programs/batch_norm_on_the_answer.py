"""Answers of mean 0 and deviation 1 for targets around 6."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'batch-norm-on-the-answer',
    "rule": 'normed-answer',
    "class": 'normed-answer',
    "where": 'norm_out',
    "code": 'self.norm_out = nn.BatchNorm1d(1, affine=False)',
    "static": False,
    "severity": 'warning',
    "keywords": ['BatchNorm', 'output', 'scale'],
}
FIX = [
    ('self.norm_out(self.body(x))', 'self.body(x)'),
]


def houses(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=g)
    w = torch.randn(8, generator=torch.Generator().manual_seed(99))
    y = torch.sin(x @ w / 2) + 0.5 * x[:, 0] * x[:, 1] + 0.1 * torch.randn(n, generator=g)
    return TensorDataset(x, 3 * y[:, None] + 6)


TRAIN, VAL, LOSS = houses(480, 0), houses(200, 1), nn.MSELoss()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1))
        self.norm_out = nn.BatchNorm1d(1, affine=False)

    def forward(self, x):
        return self.norm_out(self.body(x))


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
