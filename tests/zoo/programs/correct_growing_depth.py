"""Correct: a network that grows while it trains: a block is added every few hundred steps."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Growing(nn.Module):
    def __init__(self, depth=4):
        super().__init__()
        self.stem = nn.Linear(16, 32)
        self.blocks = nn.ModuleList(nn.Linear(32, 32) for _ in range(depth))
        self.head = nn.Linear(32, 4)
        self.stage = 1

    def grow(self):
        self.stage = min(self.stage + 1, len(self.blocks))

    def forward(self, x):
        x = self.stem(x).relu()
        for block in self.blocks[: self.stage]:
            x = x + block(x).relu()
        return self.head(x)


class Step:
    def __init__(self):
        self.steps = 0

    def __call__(self, model, batch, loss, optimizer):
        x, y = batch
        value = loss(model(x), y)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        self.steps += 1
        if self.steps % 300 == 0:
            model.grow()
        return value.item()


def build():
    return {
        "model": Growing(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
        "train_step": Step(),
    }
