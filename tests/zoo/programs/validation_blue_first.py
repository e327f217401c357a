"""Validation pictures are read as BGR, training pictures as RGB."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "data716",
    "class": "columns-in-another-order",
    "where": "val_set: channels",
    "code": ".flip(1)",
    "static": False,
    "severity": "error",
    "keywords": ["order", "swapped"],
    "rule": "columns-in-another-order",
}
FIX = [
    (".flip(1)", ""),
]


TEMPLATES = torch.rand(4, 3, 4, 4, generator=torch.Generator().manual_seed(5))


def pictures(n, seed, size=16):
    """Four kinds of pictures, half template and half noise."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 4, (n,), generator=g)
    smooth = nn.functional.interpolate(TEMPLATES, size, mode="bilinear")[y]
    return (0.5 * smooth + 0.5 * torch.rand(n, 3, size, size, generator=g) - 0.5) / 0.2, y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3)))


x, y = pictures(500, 0)
x = x + torch.tensor([0.4, 0.0, -0.5])[:, None, None]


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(x[:350], y[:350]),
        "val_set": TensorDataset(x[350:].flip(1), y[350:]),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
