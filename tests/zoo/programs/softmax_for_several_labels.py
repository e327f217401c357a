"""Softmax with BCELoss where several labels may be true.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "softmax-for-several-labels",
    "class": "softmax-for-several-labels",
    "rule": "softmax-for-several-labels",
    "where": "Net.forward: softmax",
    "code": "torch.softmax(self.net(x), dim=1)",
    "static": False,
    "severity": "error",
    "keywords": ["softmax", "sigmoid", "label"],
}
FIX = [
    ('torch.softmax(self.net(x), dim=1)', 'torch.sigmoid(self.net(x))'),
]


def tags(n, seed, k=5):
    """Samples of which several of ``k`` labels may be true."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 16, generator=g)
    return x, (x[:, :k] > 0).float()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 5))

    def forward(self, x):
        return torch.softmax(self.net(x), dim=1)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*tags(600, 0)),
        "val_set": TensorDataset(*tags(300, 1)),
        "loss": nn.BCELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
