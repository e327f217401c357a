"""The model keeps the features of its last batch, with their graph, for a penalty that the step adds."""

from collections import deque

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None
recent = deque(maxlen=50)


class Regressor(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(8, 32), nn.ReLU()), nn.Linear(32, 1)
        self.features = None

    def forward(self, x):
        self.features = self.body(x)
        return self.head(self.features)


def rows(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=g)
    return x, x[:, :1] + 0.5 * x[:, 1:2].square() - 0.5 + 0.1 * torch.randn(n, 1, generator=g)


def train_step(model, batch, loss, optimizer):
    x, y = batch
    value = loss(model(x), y) + 1e-3 * model.features.abs().mean()
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    recent.append(value.item())
    return value.detach()


def build():
    return {
        "model": Regressor(),
        "train_set": TensorDataset(*rows(800, 0)),
        "val_set": TensorDataset(*rows(200, 1)),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=3e-3),
        "train_step": train_step,
        "batch_size": 40,
        "epochs": 10,
    }
