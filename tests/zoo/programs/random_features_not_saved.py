"""The random projection of Fourier features is neither parameter nor buffer.

A model that is loaded from a checkpoint has another projection, and its head is worthless.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "random_features_not_saved",
    "rule": "plain-tensor",
    "class": "plain-tensor",
    "where": "Net.B",
    "code": "self.B = torch.randn",
    "static": True,
    "severity": "error",
    "keywords": ["buffer", "random", "register_buffer"],
}
FIX = [
    ("self.B = torch.randn(16, 8)", 'self.register_buffer("B", torch.randn(16, 8))'),
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
        self.B = torch.randn(16, 8)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        p = x @ self.B
        return self.head(torch.cat([p.sin(), p.cos()], 1))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
