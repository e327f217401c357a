"""Correct: a loss of its own features, which closures of its hooks keep."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = None


class Perceptual(nn.Module):
    def __init__(self):
        super().__init__()
        g = torch.Generator().manual_seed(0)
        self.net = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        )
        for p in self.net.parameters():
            p.data = 0.2 * torch.randn(p.shape, generator=g)
        self.requires_grad_(False)
        self.kept = {}
        for i in (1, 3):
            self.net[i].register_forward_hook(self._keep(i))

    def _keep(self, i):
        def hook(module, args, out):
            self.kept[i] = out

        return hook

    def features(self, x):
        self.net(x)
        return [self.kept[i] for i in (1, 3)]

    def forward(self, out, y):
        a = self.features(out)
        with torch.no_grad():
            b = self.features(y)
        return F.l1_loss(out, y) + sum(F.mse_loss(p, q) for p, q in zip(a, b))


class Noisy(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        t = torch.linspace(0, 6.28, 16)
        w = 1 + 2 * torch.rand(n, 2, generator=g)
        ph = 6.28 * torch.rand(n, generator=g)
        self.y = torch.sin(w[:, :1, None] * t[:, None] + w[:, 1:, None] * t + ph[:, None, None]).unsqueeze(1)
        self.x = self.y + 0.4 * torch.randn(self.y.shape, generator=g)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


class DnCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Sequential(
            nn.Conv2d(1, 24, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(24, 24, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(24, 1, 3, padding=1),
        )

    def forward(self, x):
        return x - self.f(x)


def build():
    return {
        "model": DnCNN(),
        "train_set": Noisy(240, 0),
        "val_set": Noisy(60, 1),
        "loss": Perceptual(),
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
        "batch_size": 24,
    }
