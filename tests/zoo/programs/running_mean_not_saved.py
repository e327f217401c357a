"""A running mean is kept as a plain tensor: a checkpoint does not have it."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "running_mean_not_saved",
    "rule": "plain-tensor",
    "class": "plain-tensor",
    "where": "Net.mean",
    "code": "self.mean = torch.zeros",
    "static": True,
    "severity": "error",
    "keywords": ["buffer", "state_dict"],
}
FIX = [
    ("self.mean = torch.zeros(16)", 'self.register_buffer("mean", torch.zeros(16))'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.mean = torch.zeros(16)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0).detach()
        return self.head(x - self.mean)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
