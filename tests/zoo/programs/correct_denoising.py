"""Correct: noise is drawn at each access, in validation too: to take it away is the task."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = None


def images(n, seed, k=4, size=8, channels=1):
    patterns = torch.randn(k, channels, size, size, generator=torch.Generator().manual_seed(7))
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    x = patterns[y] + torch.randn(n, channels, size, size, generator=g)
    return x / 2**0.5, y


class Noisy(Dataset):
    """Noise is drawn at each access: it is the task."""

    def __init__(self, n, seed):
        self.x, _ = images(n, seed)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        x = F.avg_pool2d(self.x[i], 3, 1, 1)
        return x + 0.2 * torch.randn_like(x), x


def build():
    model = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 3, padding=1))
    return {
        "model": model,
        "train_set": Noisy(300, 0),
        "val_set": Noisy(60, 1),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=2e-3),
        "batch_size": 30,
    }
