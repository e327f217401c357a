"""``torch.manual_seed`` inside ``__getitem__``: a sample gets the same "random" augmentation in
every epoch, and the global generator (dropout!) starts at the same point again and again.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "seed_by_index",
    "rule": "seed-in-sample",
    "class": "seed-in-sample",
    "where": "Noisy.__getitem__",
    "code": "torch.manual_seed(i)",
    "static": True,
    "severity": "warning",
    "keywords": ["seed", "manual_seed", "random", "augment", "same noise", "every epoch", "identical"],
}
FIX = [
    ('            torch.manual_seed(i)\n', ''),
]


def photos(n, seed, k=5, size=16):
    """Small standardised colour pictures: a smooth pattern per class, random brightness, noise."""
    base = torch.randn(k, 3, 4, 4, generator=torch.Generator().manual_seed(11)) * 0.7
    base = F.interpolate(base, size=(size, size), mode="bilinear", align_corners=False)
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    x = base[y] + 0.8 * torch.randn(n, 3, size, size, generator=g)
    return x + 0.3 * torch.randn(n, 1, 1, 1, generator=g), y


class Noisy(Dataset):
    def __init__(self, n, seed, augment=True):
        self.x, self.y = photos(n, seed)
        self.augment = augment

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        image = self.x[i]
        if self.augment:
            torch.manual_seed(i)
            image = image + 0.5 * torch.randn_like(image)
            if torch.rand(()) < 0.5:
                image = image.roll(1, dims=-1)
        return image, self.y[i]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 4, stride=4)
        self.norm = nn.GroupNorm(4, 32)
        self.mlp = nn.Sequential(nn.Dropout(0.3), nn.Linear(512, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 5))

    def forward(self, x):
        return self.mlp(F.gelu(self.norm(self.stem(x))).flatten(1))


def build():
    return {
        "model": Net(),
        "train_set": Noisy(400, 0),
        "val_set": Noisy(200, 1, augment=False),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.AdamW(model.parameters(), lr=2e-3),
        "batch_size": 40,
        "epochs": 5,
    }
