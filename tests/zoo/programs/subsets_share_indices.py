"""Two augmented and plain copies of one data set are cut by overlapping indices."""

import torch
from torch import nn
from torch.utils.data import Dataset, Subset

BUG = {
    "id": "data704",
    "class": "leak-between-splits",
    "where": "val_set",
    "code": "range(300, 500)",
    "static": False,
    "severity": "error",
    "keywords": ["duplicate", "leak", "overlap"],
    "rule": "leak-between-splits",
}
FIX = [
    ("range(300, 500)", "range(400, 500)"),
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


class Pictures(Dataset):
    def __init__(self, augment):
        self.x, self.y = pictures(500, 0)
        self.augment = augment

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        x = self.x[index]
        if self.augment:
            x = (x + 0.5 * torch.randn_like(x)).roll(int(torch.randint(0, 8, ())), -1)
        return x, self.y[index]


def build():
    return {
        "model": Net(),
        "train_set": Subset(Pictures(True), range(400)),
        "val_set": Subset(Pictures(False), range(300, 500)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
