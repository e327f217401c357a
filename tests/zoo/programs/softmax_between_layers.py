"""Softmax in the place of a hidden activation."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'softmax-between-layers',
    "rule": 'softmax-hidden',
    "class": 'softmax-hidden',
    "where": 'net.1',
    "code": 'act = nn.Softmax(dim=1)',
    "static": False,
    "severity": 'warning',
    "keywords": ['softmax', 'hidden', 'activation'],
}
FIX = [
    ('act = nn.Softmax(dim=1)', 'act = nn.ReLU()'),
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
        act = nn.Softmax(dim=1)
        self.net = nn.Sequential(nn.Linear(12, 64), act, nn.Linear(64, 64), act, nn.Linear(64, 3))

    def forward(self, x):
        return self.net(x)


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
