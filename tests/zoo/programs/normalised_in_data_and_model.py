"""The data are standardised, and the model standardises again with the raw figures."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop315",
    "class": 'normalised-twice',
    "where": 'train_set',
    "code": '(x - 0.45) / 0.22',
    "static": False,
    "severity": 'error',
    "keywords": ['twice', 'normal'],
    "rule": 'normalised-twice',
}
FIX = [
    ('(x - 0.45) / 0.22', 'x'),
]


def raw(n, seed):
    x = torch.randn(n, 8, generator=torch.Generator().manual_seed(seed))
    return x, x @ torch.linspace(-1, 1, 8)[:, None]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x):
        return self.body((x - 0.45) / 0.22)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*raw(600, 0)),
        "val_set": TensorDataset(*raw(300, 1)),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
