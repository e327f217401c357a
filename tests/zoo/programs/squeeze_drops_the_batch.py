"""The last batch of an epoch has one sample."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'squeeze-drops-the-batch',
    "rule": 'last-batch-fails',
    "class": 'last-batch-fails',
    "where": 'Net.forward',
    "code": 'return self.out(h).squeeze()',
    "static": False,
    "severity": 'error',
    "keywords": ['squeeze', 'batch', 'shape'],
}
FIX = [
    ('.squeeze()', '.squeeze(1)'),
]


def houses(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=g)
    w = torch.randn(8, generator=torch.Generator().manual_seed(99))
    y = torch.sin(x @ w / 2) + 0.5 * x[:, 0] * x[:, 1] + 0.1 * torch.randn(n, generator=g)
    return TensorDataset(x, y)


TRAIN, VAL, LOSS = houses(481, 0), houses(200, 1), None

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 64), nn.ReLU())
        self.out = nn.Linear(64, 1)

    def forward(self, x):
        h = self.body(x)
        return self.out(h).squeeze()


class Mse(nn.Module):
    def forward(self, prediction, target):
        assert prediction.shape == target.shape, (prediction.shape, target.shape)
        return F.mse_loss(prediction, target)


def build():
    global LOSS
    LOSS = Mse()
    return {
        "model": Net(),
        "train_set": TRAIN,
        "val_set": VAL,
        "loss": LOSS,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=2e-3),
        "batch_size": 32,
        "epochs": 8,
    }
