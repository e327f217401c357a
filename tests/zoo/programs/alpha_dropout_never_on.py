"""``F.alpha_dropout`` is off by default, unlike ``F.dropout``: nothing is ever dropped."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "alpha_dropout_never_on",
    "rule": "functional-training",
    "class": "functional-training",
    "where": "F.alpha_dropout",
    "code": "F.alpha_dropout",
    "static": True,
    "severity": "error",
    "keywords": ["training", "never"],
}
FIX = [
    ("F.alpha_dropout(F.selu(x), 0.3)", "F.alpha_dropout(F.selu(x), 0.3, self.training)"),
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
        return self.head(F.alpha_dropout(F.selu(x), 0.3))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
