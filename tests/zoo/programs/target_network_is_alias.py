"""The target network is the online network itself."""

import copy

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "target-network-is-alias",
    "rule": "follower-is-alias",
    "class": "follower-is-alias",
    "where": 'target',
    "code": 'self.target = self.online',
    "static": False,
    "severity": "error",
    "keywords": ['same', 'alias', 'copy', 'one network', 'itself'],
}
FIX = [
    ('self.target = self.online', 'self.target = copy.deepcopy(self.online).requires_grad_(False)'),
]


def curve(n, seed, d=6, column=True):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    y = torch.sin(x[:, 0]) + 0.5 * x[:, 1] * x[:, 2] + 0.1 * torch.randn(n, generator=g)
    return x, (y[:, None] if column else y)


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


class Q(nn.Module):
    def __init__(self):
        super().__init__()
        self.online = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1))
        self.target = self.online

    def forward(self, x):
        with torch.no_grad():
            after = self.target(x.roll(1, 1))
        return self.online(x), after


def loss(outputs, reward):
    value, after = outputs
    return F.mse_loss(value, reward + 0.9 * after)


def build():
    return {"model": Q(), **sets(curve), "loss": loss, "batch_size": 50,
            "make_optimizer": lambda m: torch.optim.Adam([p for p in m.parameters() if p.requires_grad], lr=1e-3)}
