"""A learnt temperature is made a number with ``.item()``: it gets no gradient."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "item_in_the_path",
    "rule": "gradient-cut",
    "class": "gradient-cut",
    "where": "item",
    "code": "self.temp.item()",
    "static": True,
    "severity": "error",
    "keywords": ["gradient", "item"],
}
FIX = [
    ("self.temp.item()", "self.temp"),
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
        self.temp = nn.Parameter(torch.tensor(1.5))
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        return self.head(x) / self.temp.item()


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
