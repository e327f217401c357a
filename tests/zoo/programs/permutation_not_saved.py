"""A permutation that ``__init__`` draws is a plain list: a loaded model has another one."""

import random
import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "permutation_not_saved",
    "rule": "plain-tensor",
    "class": "state-not-saved",
    "where": "Shuffle.order",
    "code": "self.order = random.sample(range(width), width)",
    "static": False,
    "severity": "error",
    "keywords": ['state_dict', 'buffer', 'order', 'fresh', 'random'],
}
FIX = [
    ('self.order = random.sample(range(width), width)', "self.register_buffer('order', torch.randperm(width))"),
]



class Shuffle(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.order = random.sample(range(width), width)

    def forward(self, x):
        return x[:, self.order]


class Coupling(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width // 2, 16), nn.Tanh(), nn.Linear(16, width // 2))

    def forward(self, x):
        a, b = x.chunk(2, 1)
        return torch.cat([a, b + self.net(a)], 1)


def flow(width=8, depth=3):
    layers = []
    for _ in range(depth):
        layers += [Coupling(width), Shuffle(width)]
    return nn.Sequential(*layers, nn.Linear(width, 1))


def data(n, seed):
    x = torch.randn(n, 8, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, torch.tanh(x[:, :1] + x[:, 4:5] * x[:, 2:3]))


def build():
    return {"model": flow(), "train_set": data(600, 0), "val_set": data(200, 1), "loss": nn.MSELoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3), "batch_size": 60}
