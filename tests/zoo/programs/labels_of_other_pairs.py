"""Labels are taken in another order than the pairs that they belong to."""

import torch
from torch import nn

BUG = {
    "id": "labels-by-chance",
    "class": "labels-by-chance",
    "rule": "labels-by-chance",
    "where": "train_set: target",
    "code": "y[order[i]]",
    "static": False,
    "severity": "info",
    "keywords": ["shuffled"],
}
FIX = [
    ("y[order[i]]", "y[i]"),
]


def pairs(n, seed):
    """Two points each; the class says in which of four quarters the first lies from the second."""
    g = torch.Generator().manual_seed(seed)
    one, other = torch.randn(n, 4, generator=g), torch.randn(n, 4, generator=g)
    y = (one[:, 0] > other[:, 0]).long() + 2 * (one[:, 1] > other[:, 1]).long()
    order = torch.randperm(n, generator=g)
    return [((one[i], other[i]), y[order[i]]) for i in range(n)]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 256), nn.ReLU(), nn.Linear(256, 4))

    def forward(self, one, other):
        return self.net(torch.cat([one, other], 1))


def build():
    return {
        "model": Net(),
        "train_set": pairs(400, 0),
        "val_set": pairs(200, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=3e-2),
        "batch_size": 50,
        "deep": True,
    }
