"""A weight is frozen by zeroing its gradient; AdamW decays it all the same."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "frozen_by_zeroing",
    "rule": "frozen-still-moves",
    "class": "frozen-with-decay",
    "where": "train_step",
    "code": "model.stem.weight.grad.zero_()",
    "static": False,
    "severity": "warning",
    "keywords": ['frozen', 'decay', 'moves', 'requires_grad', 'grad'],
}
FIX = [
    ('    model.stem.weight.grad.zero_()\n', ''),
    ('        self.stem = nn.Linear(10, 32)\n', '        self.stem = nn.Linear(10, 32)\n        self.stem.weight.requires_grad_(False)\n'),
]



class TwoPart(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(10, 32)
        self.top = nn.Sequential(nn.ReLU(), nn.Linear(32, 3))

    def forward(self, x):
        return self.top(self.stem(x))


def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    l = loss(model(x), y)
    l.backward()
    model.stem.weight.grad.zero_()
    optimizer.step()
    return l


def make(n, seed):
    x = torch.randn(n, 10, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, (x[:, :2].sum(1) > 0).long() + (x[:, 2] > 1).long())


def build():
    return {"model": TwoPart(), "train_set": make(600, 0), "val_set": make(200, 1), "loss": nn.CrossEntropyLoss(), "train_step": train_step,
            "make_optimizer": lambda m: torch.optim.AdamW(m.parameters(), lr=3e-3, weight_decay=0.1), "batch_size": 50}
