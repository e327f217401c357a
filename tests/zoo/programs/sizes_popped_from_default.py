"""The first instance takes its sizes out of the default list; the second has a layer less."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "sizes_popped_from_default",
    "rule": "mutable-default",
    "class": "shared-state",
    "where": "Critic.__init__",
    "code": "sizes=[64, 32, 1]",
    "static": True,
    "severity": "error",
    "keywords": ['mutable default', 'default', 'shared', 'list'],
}
FIX = [
    ('sizes=[64, 32, 1]', 'sizes=(64, 32, 1)'),
    ('        width = sizes.pop(0)\n', '        width, *sizes = sizes\n'),
]



class Critic(nn.Module):
    def __init__(self, inputs, sizes=[64, 32, 1]):
        super().__init__()
        width = sizes.pop(0)
        layers = [nn.Linear(inputs, width)]
        for size in sizes:
            layers += [nn.ReLU(), nn.Linear(width, size)]
            width = size
        self.net = nn.Sequential(*layers)

    def forward(self, x):
        return self.net(x)


class TwinCritic(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.q1 = Critic(inputs)
        self.q2 = Critic(inputs)

    def forward(self, x):
        return torch.minimum(self.q1(x), self.q2(x).mean(1, keepdim=True))


def transitions(n, seed):
    x = torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, x[:, :1] - x[:, 1:2] * x[:, 2:3])


def build():
    return {"model": TwinCritic(6), "train_set": transitions(600, 0), "val_set": transitions(200, 1), "loss": nn.MSELoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=2e-3), "batch_size": 60}
