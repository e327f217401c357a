"""Pictures are mirrored at random, and their masks are not."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "data713",
    "class": "target-not-moved",
    "where": "train_set: target",
    "code": "x.flip(-1)",
    "static": False,
    "severity": "error",
    "keywords": ["mask", "augment"],
    "rule": "target-not-moved",
}
FIX = [
    ("x = x.flip(-1)", "x, mask = x.flip(-1), mask.flip(-1)"),
]


def scenes(n, seed):
    g = torch.Generator().manual_seed(seed)
    mask = (nn.functional.interpolate(torch.randn(n, 1, 4, 4, generator=g), 16, mode="bilinear") > 0.3).float()
    return mask * torch.tensor([1.0, -0.5, 0.3])[:, None, None] + 0.4 * torch.randn(n, 3, 16, 16, generator=g), mask[
        :, 0
    ].long()


class Scenes(Dataset):
    def __init__(self, n, seed, augment):
        self.x, self.mask = scenes(n, seed)
        self.augment = augment

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        x, mask = self.x[index], self.mask[index]
        if self.augment and torch.rand(()) < 0.5:
            x = x.flip(-1)
        return x, mask


def build():
    return {
        "model": nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 2, 1)),
        "train_set": Scenes(200, 0, True),
        "val_set": Scenes(60, 1, False),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
