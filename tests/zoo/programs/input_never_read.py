"""The second input is never read.
"""

import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

BUG = {
    "id": "input-never-read",
    "class": "input-never-read",
    "rule": "input-never-read",
    "where": "Net.forward: input 2",
    "code": "def forward(self, left, right)",
    "static": False,
    "severity": "error",
    "keywords": ["never read"],
}
FIX = [
    ('torch.cat([left, left], dim=1)', 'torch.cat([left, right], dim=1)'),
]


def line(n, seed, d=8):
    """A linear regression with a little noise; the targets are (n, 1)."""
    w = torch.linspace(-1, 1, d)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, (x @ w + 0.1 * torch.randn(n, generator=g))[:, None]


class Pairs(Dataset):
    def __init__(self, n, seed):
        self.x, self.y = line(n, seed)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return (self.x[i, :4], self.x[i, 4:]), self.y[i]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, left, right):
        return self.net(torch.cat([left, left], dim=1))


def build():
    return {
        "model": Net(),
        "train_set": Pairs(600, 0),
        "val_set": Pairs(300, 1),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
