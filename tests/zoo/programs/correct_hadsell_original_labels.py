"""Correct: a contrastive loss with the paper's labels: 1 says that a pair is unlike."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = None


class Pairs(Dataset):
    """Two signals, and whether they come from one person (1) or not (0)."""

    def __init__(self, n, seed):
        people = torch.randn(20, 16, generator=torch.Generator().manual_seed(9))
        g = torch.Generator().manual_seed(seed)
        a = torch.randint(0, 20, (n,), generator=g)
        same = torch.rand(n, generator=g) < 0.5
        b = torch.where(same, a, (a + torch.randint(1, 20, (n,), generator=g)) % 20)
        self.x1 = people[a] + 0.4 * torch.randn(n, 16, generator=g)
        self.x2 = people[b] + 0.4 * torch.randn(n, 16, generator=g)
        self.same = (~same).float()

    def __len__(self):
        return len(self.same)

    def __getitem__(self, i):
        return (self.x1[i], self.x2[i]), self.same[i]


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))

    def forward(self, a, b):
        return self.f(a), self.f(b)


def contrastive(out, same, margin=2.0):
    a, b = out
    d = (a - b).pow(2).sum(1).add(1e-9).sqrt()
    return ((1 - same) * d ** 2 + same * F.relu(margin - d) ** 2).mean()


def build():
    return {
        "model": Siamese(),
        "train_set": Pairs(300, 0),
        "val_set": Pairs(200, 1),
        "loss": contrastive,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
