"""``F.softmax`` without ``dim`` takes the first of three axes: the samples of the batch."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "softmax_without_dim",
    "rule": "softmax-dim",
    "class": "softmax-dim",
    "where": "softmax",
    "code": "F.softmax(s)",
    "static": True,
    "severity": "error",
    "keywords": ["dim", "batch"],
}
FIX = [
    ("F.softmax(s)", "F.softmax(s, dim=-1)"),
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
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        q = x.view(-1, 4, 4)
        s = q @ q.transpose(1, 2)
        return self.head((F.softmax(s) @ q).flatten(1))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
