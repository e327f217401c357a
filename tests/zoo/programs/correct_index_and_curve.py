"""Correct: an index of the features, and a curve of it: a regression with one direction."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


class Index(nn.Module):
    def __init__(self):
        super().__init__()
        self.direction = nn.Linear(8, 1, bias=False)
        self.curve = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, x):
        return self.curve(self.direction(x)).squeeze(1)


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=g)
    return TensorDataset(x, (x @ torch.linspace(-1, 1, 8)).sin() + 0.1 * torch.randn(n, generator=g))


def build():
    return {
        "model": Index(),
        "train_set": data(600, 0),
        "val_set": data(200, 1),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
