"""A sigmoid written by hand before BCEWithLogitsLoss.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "sigmoid-before-bce-with-logits",
    "class": "sigmoid-before-bce-with-logits",
    "rule": "sigmoid-before-bce-with-logits",
    "where": "Net.forward",
    "code": "return 1 / (1 + torch.exp(-h))",
    "static": False,
    "severity": "error",
    "keywords": ["BCEWithLogitsLoss", "logits"],
}
FIX = [
    ('1 / (1 + torch.exp(-h))', 'h'),
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
        h = self.net(x)
        return 1 / (1 + torch.exp(-h))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*tags(600, 0)),
        "val_set": TensorDataset(*tags(300, 1)),
        "loss": nn.BCEWithLogitsLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
