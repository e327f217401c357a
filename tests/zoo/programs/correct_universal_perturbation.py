"""Correct: one shift of all inputs that is to mislead a frozen network: its loss is to rise."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def blobs(n, seed, k=3, d=8):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 1.2
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return TensorDataset(centres[y] + torch.randn(n, d, generator=g), y)


torch.manual_seed(2)
VICTIM = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3)).requires_grad_(False).eval()


class Attack(nn.Module):
    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(8))

    def forward(self, x):
        return VICTIM(x + 0.3 * self.shift.tanh())


def train_step(model, batch, loss, optimizer):
    x, y = batch
    value = loss(model(x), y)
    optimizer.zero_grad()
    (-value).backward()
    optimizer.step()
    return value.item()


def build():
    return {
        "model": Attack(),
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-2),
        "train_set": blobs(512, 0),
        "val_set": blobs(120, 1),
        "loss": nn.CrossEntropyLoss(),
        "train_step": train_step,
        "batch_size": 32,
    }
