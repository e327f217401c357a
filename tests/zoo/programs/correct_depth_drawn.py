"""Correct: a network whose depth is drawn for each batch, and chosen when it is used."""

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
        self.stage = 2

    def forward(self, x):
        x = self.stem(x).relu()
        depth = int(torch.randint(1, len(self.blocks) + 1, ())) if self.training else self.stage
        for block in self.blocks[:depth]:
            x = x + block(x).relu()
        return self.head(x)


def build():
    return {
        "model": Growing(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
