"""Correct: samples and batches are named tuples."""

from typing import NamedTuple

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = None


class Item(NamedTuple):
    left: torch.Tensor
    right: torch.Tensor
    gap: torch.Tensor


class Pairs(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.a, self.b = torch.randn(n, 6, generator=g), torch.randn(n, 6, generator=g)
        self.y = (self.a[:, 0] - self.b[:, 0] + self.a[:, 1] * self.b[:, 1]) / 1.7

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return Item(self.a[i], self.b[i], self.y[i])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.e, self.h = (
            nn.Sequential(nn.Linear(6, 32), nn.Tanh()),
            nn.Sequential(nn.Linear(96, 32), nn.ReLU(), nn.Linear(32, 1)),
        )

    def forward(self, a, b):
        a, b = self.e(a), self.e(b)
        return self.h(torch.cat([a, b, a * b], 1)).squeeze(1)


def train_step(model, batch, loss, optimizer):
    value = loss(model(batch.left, batch.right), batch.gap)
    optimizer.zero_grad()
    value.backward()
    nn.utils.clip_grad_value_(model.parameters(), 1.0)
    optimizer.step()
    return value.detach()


def build():
    return {
        "model": Net(),
        "train_set": Pairs(800, 0),
        "val_set": Pairs(200, 1),
        "loss": nn.MSELoss(),
        "train_step": train_step,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=2e-3),
        "batch_size": 50,
    }
