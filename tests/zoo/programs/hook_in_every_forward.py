"""A hook that halves a gradient is registered in every forward: after ten batches it is divided by 1024."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "hook_in_every_forward",
    "rule": "hooks-pile-up",
    "class": "hooks-pile-up",
    "where": "register hook",
    "code": "self.body.weight.register_hook",
    "static": True,
    "severity": "error",
    "keywords": ["hook", "never removes"],
}
FIX = [
    ("            self.body.weight.register_hook(lambda g: g * 0.5)\n", "            pass\n"),
    ("        self.head =", "        self.body.weight.register_hook(lambda g: g * 0.5)\n        self.head ="),
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
        self.body = nn.Linear(16, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        if self.training:
            self.body.weight.register_hook(lambda g: g * 0.5)
        return self.head(F.relu(self.body(x)))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
