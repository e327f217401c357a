"""Correct: one scorer for all candidates of a list, of which the first is the right one."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = None


class Lists(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        w = torch.randn(10, generator=torch.Generator().manual_seed(2))
        x = torch.randn(n, 5, 10, generator=g)
        order = (x @ w + 0.5 * torch.randn(n, 5, generator=g)).argsort(1, descending=True)
        self.x = x.gather(1, order[..., None].expand(-1, -1, 10))

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], 0


class Scorer(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x):
        return self.f(x).squeeze(-1)


def build():
    return {
        "model": Scorer(),
        "train_set": Lists(600, 0),
        "val_set": Lists(150, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=2e-3),
        "batch_size": 50,
    }
