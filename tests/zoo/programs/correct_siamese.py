"""Correct: one network reads both of a pair."""

import torch
from torch import nn

BUG = None



def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))

    def forward(self, one, other):
        return (self.body(one) - self.body(other)).square().mean(1)


def pairs(n, seed):
    x, y = blobs(n, seed)
    return [((x[i], x[i - 1]), float(y[i] == y[i - 1])) for i in range(n)]


def loss(apart, same):
    return (same * apart + (1 - same) * torch.relu(1 - apart)).mean()


def build():
    return {
        "model": Net(),
        "train_set": pairs(400, 0),
        "val_set": pairs(200, 1),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
