"""The loss is made a new tensor that requires grad: ``backward`` runs, and no weight gets a gradient.

Reported many times: "element 0 of tensors does not require grad" answered with ``requires_grad=True``.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loss_made_anew",
    "rule": "gradient-cut",
    "class": "gradient-cut",
    "where": "loss",
    "code": "torch.tensor(value.item()",
    "static": True,
    "severity": "error",
    "keywords": ["gradient", "tensor"],
}
FIX = [
    ("torch.tensor(value.item(), requires_grad=True)", "value"),
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
        return self.head(x)


def loss(out, y):
    value = F.cross_entropy(out, y)
    return torch.tensor(value.item(), requires_grad=True)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
