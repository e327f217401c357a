"""An average of the weights whose running statistics are taken anew before each evaluation."""

import copy

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader, TensorDataset

BUG = None


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 7, generator=g)
    return x, torch.relu(x[:, :1]) - 0.5 * x[:, 1:2]


class T:
    def __init__(self, model, train):
        self.swa = copy.deepcopy(model).requires_grad_(False)
        self.train = train

    def step(self, model, batch, loss, optimizer):
        x, y = batch
        model.train()
        l = loss(model(x), y)
        optimizer.zero_grad()
        l.backward()
        optimizer.step()
        with torch.no_grad():
            for a, b in zip(self.swa.parameters(), model.parameters()):
                a.lerp_(b, 0.1)
        return l.item()

    def evaluate(self, model, val_set):
        update_bn(DataLoader(self.train, 64), self.swa)
        self.swa.eval()
        x, y = val_set.tensors
        with torch.no_grad():
            return F.mse_loss(self.swa(x), y).item()


def build():
    model = nn.Sequential(nn.Linear(7, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 1))
    train = TensorDataset(*data(640, 0))
    t = T(model, train)
    return dict(
        model=model,
        train_set=train,
        val_set=TensorDataset(*data(160, 1)),
        loss=nn.MSELoss(),
        make_optimizer=lambda m: torch.optim.Adam(m.parameters(), lr=3e-3),
        train_step=t.step,
        evaluate=t.evaluate,
        batch_size=32,
        epochs=10,
    )
