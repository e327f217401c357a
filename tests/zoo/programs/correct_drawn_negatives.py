"""Correct: a negative item is drawn at each access."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = None


class Bpr(nn.Module):
    def __init__(self, users=30, items=40, d=8):
        super().__init__()
        self.users, self.items = nn.Embedding(users, d), nn.Embedding(items, d)

    def forward(self, u, i, j):
        u = self.users(u)
        return (u * self.items(i)).sum(-1) - (u * self.items(j)).sum(-1)


class Triples(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        u, i = torch.randint(0, 30, (n,), generator=g), torch.randint(0, 20, (n,), generator=g)
        self.u, self.i = u, 2 * i + u % 2

    def __len__(self):
        return len(self.u)

    def __getitem__(self, k):
        j = 2 * torch.randint(0, 20, ()) + 1 - self.u[k] % 2
        return (self.u[k], self.i[k], j), torch.tensor(1.0)


def build():
    return {
        "model": Bpr(),
        "train_set": Triples(600, 0),
        "val_set": Triples(100, 1),
        "loss": lambda out, _: -F.logsigmoid(out).mean(),
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-2),
        "batch_size": 50,
    }
