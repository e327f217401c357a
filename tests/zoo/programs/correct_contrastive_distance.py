"""Correct: the output is a distance, and the target 1 says that two samples differ."""

import torch
import torch.nn.functional as F
from torch import nn

BUG = None


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))

    def forward(self, a, b):
        return F.pairwise_distance(self.net(a), self.net(b))


def contrastive(distance, different):
    return torch.mean((1 - different) * distance.pow(2) + different * torch.clamp(1.0 - distance, min=0.0).pow(2))


def data(n, seed):
    x, y = blobs(2 * n, seed)
    return [((x[i], x[i + n]), float(y[i] != y[i + n])) for i in range(n)]


def build():
    return {
        "model": Siamese(),
        "train_set": data(600, 0),
        "val_set": data(100, 1),
        "loss": contrastive,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
        "batch_size": 50,
    }
