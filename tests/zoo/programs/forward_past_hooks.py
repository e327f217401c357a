"""``layer.forward(x)`` skips the hook with which ``spectral_norm`` makes the weight: it never changes."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "forward_past_hooks",
    "rule": "forward-called",
    "class": "forward-called",
    "where": "self.body.forward",
    "code": "self.body.forward(x)",
    "static": True,
    "severity": "error",
    "keywords": ["hook"],
}
FIX = [
    ("self.body.forward(x)", "self.body(x)"),
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
        self.body = torch.nn.utils.spectral_norm(nn.Linear(16, 32))
        self.head = nn.Linear(32, 4)

    def forward(self, x):
        return self.head(F.relu(self.body.forward(x)))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
