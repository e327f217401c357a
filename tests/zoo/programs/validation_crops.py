"""Pictures are cropped before the split: validation holds other crops of training pictures."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "data702",
    "class": "leak-between-splits",
    "where": "val_set",
    "code": "crops(x[300:], 2)",
    "static": False,
    "severity": "error",
    "keywords": ["leak", "overlap"],
    "rule": "leak-between-splits",
}
FIX = [
    ("crops(x, 1), y)", "crops(x[:300], 1), y[:300])"),
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


def crops(pictures, seed):
    places = torch.randint(0, 8, (len(pictures), 2), generator=torch.Generator().manual_seed(seed)).tolist()
    return torch.stack([picture[:, i : i + 16, j : j + 16] for picture, (i, j) in zip(pictures, places, strict=True)])


x, y = pictures(400, 0, 24)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(crops(x, 1), y),
        "val_set": TensorDataset(crops(x[300:], 2), y[300:]),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
