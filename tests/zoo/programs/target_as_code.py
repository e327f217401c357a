"""A column of the inputs holds one number for each class."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "data709",
    "class": "target-in-inputs",
    "where": "train_set: input 16",
    "code": "codes[y]",
    "static": False,
    "severity": "error",
    "keywords": ["leak"],
    "rule": "target-in-inputs",
}
FIX = [
    ("codes[y]", "codes[y.roll(1)]"),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


x, y = blobs(600, 0)
codes = torch.tensor([0.3, -1.2, 0.7, 2.0])
x = torch.cat([x, codes[y].unsqueeze(1)], 1)


def build():
    return {
        "model": nn.Sequential(nn.Linear(17, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(x[:450], y[:450]),
        "val_set": TensorDataset(x[450:], y[450:]),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
