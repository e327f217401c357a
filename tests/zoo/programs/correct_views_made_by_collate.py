"""Correct: the collate function draws two views of each sample: the data set itself gives them as they are."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = None


class Signals(Dataset):
    def __init__(self, n, seed):
        c = torch.randn(8, 32, generator=torch.Generator().manual_seed(1))
        g = torch.Generator().manual_seed(seed)
        self.x = c[torch.randint(0, 8, (n,), generator=g)] + 0.5 * torch.randn(n, 32, generator=g)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i]


def two_views(samples):
    x = torch.stack(samples)

    def view():
        keep = (torch.rand_like(x) > 0.2).float()
        return x * keep + 0.1 * torch.randn_like(x)

    return (view(), view()), torch.arange(len(x))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64))
        self.projector = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 16))

    def forward(self, a, b):
        za, zb = (F.normalize(self.projector(self.backbone(v)), dim=1) for v in (a, b))
        return za, zb


def nt_xent(out, _, tau=0.2):
    z = torch.cat(out)
    n = len(z) // 2
    sim = z @ z.T / tau
    sim = sim.masked_fill(torch.eye(2 * n, dtype=torch.bool), float("-inf"))
    target = (torch.arange(2 * n) + n) % (2 * n)
    return F.cross_entropy(sim, target)


def build():
    return {
        "model": Encoder(),
        "train_set": Signals(512, 0),
        "val_set": Signals(128, 1),
        "loss": nt_xent,
        "collate": two_views,
        "make_optimizer": lambda m: torch.optim.AdamW(m.parameters(), lr=1e-3, weight_decay=1e-4),
        "batch_size": 64,
    }
