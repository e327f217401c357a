"""Members made anew, a twin by assignment that is called shared, and branches that meet twice."""

import copy

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = None

def houses(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=g)
    w = torch.randn(8, generator=torch.Generator().manual_seed(99))
    y = torch.sin(x @ w / 2) + 0.5 * x[:, 0] * x[:, 1] + 0.1 * torch.randn(n, generator=g)
    return TensorDataset(x, y[:, None])


TRAIN, VAL, LOSS = houses(480, 0), houses(200, 1), nn.MSELoss()


def member():
    return nn.Sequential(nn.Linear(16, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.left = nn.Sequential(nn.Linear(4, 16), nn.PReLU())
        self.right = self.left  # shared weights: a siamese pair
        layer = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 16), nn.GELU())
        self.stack = nn.ModuleList([copy.deepcopy(layer) for _ in range(2)])
        self.norms = nn.ModuleList([nn.LayerNorm(16) for _ in range(3)])
        self.members = nn.ModuleList(member() for _ in range(3))
        self.offset = nn.Parameter(torch.zeros(1, 16))

    def forward(self, x):
        a, b = self.left(x[:, :4]), self.right(x[:, 4:])
        h = torch.cat([a, b, (a - b).abs(), a * b], dim=1).unflatten(1, (4, 16)).mean(1) + self.offset
        for layer, norm in zip(self.stack, self.norms, strict=False):
            h = h + norm(layer(h))
        h = self.norms[-1](h)
        return torch.stack([one(h) for one in self.members]).mean(0)


def build():
    return {
        "model": Net(),
        "train_set": TRAIN,
        "val_set": VAL,
        "loss": LOSS,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=2e-3),
        "batch_size": 32,
        "epochs": 8,
    }
