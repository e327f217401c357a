"""Assignment copies no module."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'decoder-is-the-encoder',
    "rule": 'layer-is-alias',
    "class": 'layer-is-alias',
    "where": 'Net.decoder',
    "code": 'self.decoder = self.encoder',
    "static": False,
    "severity": 'warning',
    "keywords": ['same', 'shared', 'alias'],
}
FIX = [
    ('self.decoder = self.encoder', 'self.decoder = nn.Sequential(nn.Linear(32, 32), nn.Tanh())'),
]


def houses(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=g)
    w = torch.randn(8, generator=torch.Generator().manual_seed(99))
    y = torch.sin(x @ w / 2) + 0.5 * x[:, 0] * x[:, 1] + 0.1 * torch.randn(n, generator=g)
    return TensorDataset(x, y[:, None])


TRAIN, VAL, LOSS = houses(480, 0), houses(200, 1), nn.MSELoss()

class Net(nn.Module):
    """Encoder and decoder of the same shape."""

    def __init__(self):
        super().__init__()
        self.inp = nn.Linear(8, 32)
        self.encoder = nn.Sequential(nn.Linear(32, 32), nn.Tanh())
        self.decoder = self.encoder
        self.out = nn.Linear(32, 1)

    def forward(self, x):
        return self.out(self.decoder(self.encoder(self.inp(x))))


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
