"""Mirrored training pictures are the validation set."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "data701",
    "class": "leak-between-splits",
    "where": "val_set",
    "code": "x[300:].flip(-1)",
    "static": False,
    "severity": "error",
    "keywords": ["duplicate", "leak", "overlap"],
    "rule": "leak-between-splits",
}
FIX = [
    ("TensorDataset(x, y)", "TensorDataset(x[:300], y[:300])"),
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


x, y = pictures(400, 0)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(x, y),
        "val_set": TensorDataset(x[300:].flip(-1), y[300:]),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
