"""Layers are collected in a global list, which each further instance takes too."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "data738",
    "class": "builds-differ",
    "where": "Net.__init__",
    "code": "def __init__(self)",
    "static": False,
    "severity": "error",
    "keywords": ["parameters"],
    "rule": "builds-differ",
}
FIX = [
    ("LAYERS.extend([", "layers = [*LAYERS]\n        layers.extend(["),
    ("nn.ModuleList(LAYERS)", "nn.ModuleList(layers)"),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


LAYERS = []


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        LAYERS.extend([nn.Linear(16, 32), nn.Linear(32, 4)])
        self.body = nn.ModuleList(LAYERS)

    def forward(self, x):
        return self.body[-1](self.body[-2](x).relu())


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(400, 0)),
        "val_set": TensorDataset(*blobs(200, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
