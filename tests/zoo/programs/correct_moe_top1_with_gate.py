"""Correct: a mixture of experts that takes one of them, weighed by its gate."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y

class Switch(nn.Module):
    def __init__(self):
        super().__init__()
        self.router = nn.Linear(16, 3)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)) for _ in range(3))

    def forward(self, x):
        p = self.router(x).softmax(1)
        chosen = p.argmax(1)
        out = torch.stack([e(x) for e in self.experts], 1)[torch.arange(len(x)), chosen]
        return out * p.gather(1, chosen[:, None])


def build():
    return {
        "model": Switch(),
        "train_set": TensorDataset(*blobs(300, 0)),
        "val_set": TensorDataset(*blobs(200, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
