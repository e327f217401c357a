"""Correct: pictures whose outlines several people drew, one of which is drawn at random for each reading."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = None


class Scans(Dataset):
    def __init__(self, n, seed, train):
        g = torch.Generator().manual_seed(seed)
        row = torch.arange(16)
        middle = torch.randint(4, 12, (n, 2), generator=g)
        apart = (row[:, None] - middle[:, :1, None]).square() + (row - middle[:, 1:, None]).square()
        self.x = (3 - apart.float().sqrt()).clamp(-2, 2)[:, None] + 0.4 * torch.randn(n, 1, 16, 16, generator=g)
        size = 3 + torch.randint(-1, 2, (n, 4, 1, 1), generator=g)
        self.outlines = (apart[:, None] < size**2).float()
        self.train = train

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        who = int(torch.randint(0, 4, ())) if self.train else 0
        return self.x[i], self.outlines[i, who][None]


def build():
    return {
        "model": nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 1)),
        "train_set": Scans(200, 0, True),
        "val_set": Scans(60, 1, False),
        "loss": nn.BCEWithLogitsLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 16,
    }
