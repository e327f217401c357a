"""Bpr sign."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = {
    'id': 'bpr-sign',
    'rule': 'ranking-turned',
    'class': 'ranking-turned',
    'where': 'bpr',
    'code': 'return -F.logsigmoid(neg_score - pos_score).mean()',
    'static': False,
    'severity': 'error',
    'keywords': ['positive', 'negative', 'sign', 'swapped', 'rank'],
    'also': ['loss'],
}
FIX = [
    ('neg_score - pos_score', 'pos_score - neg_score'),
]


class Clicks(Dataset):
    def __init__(self, n, seed, users=40, items=60):
        taste = torch.randn(users, 3, generator=torch.Generator().manual_seed(1)) @ torch.randn(3, items, generator=torch.Generator().manual_seed(2))
        g = torch.Generator().manual_seed(seed)
        self.u = torch.randint(0, users, (n,), generator=g)
        i, j = torch.randint(0, items, (2, n), generator=g)
        better = taste[self.u, i] > taste[self.u, j]
        self.i, self.j = torch.where(better, i, j), torch.where(better, j, i)

    def __len__(self):
        return len(self.u)

    def __getitem__(self, k):
        return (self.u[k], self.i[k], self.j[k]), torch.zeros(())


class MF(nn.Module):
    def __init__(self):
        super().__init__()
        self.user = nn.Embedding(40, 8)
        self.item = nn.Embedding(60, 8)

    def forward(self, u, pos, neg):
        e = self.user(u)
        return (e * self.item(pos)).sum(1), (e * self.item(neg)).sum(1)


def bpr(out, _):
    pos_score, neg_score = out
    return -F.logsigmoid(neg_score - pos_score).mean()


def build():
    return {
        "model": MF(),
        "train_set": Clicks(300, 0),
        "val_set": Clicks(200, 1),
        "loss": bpr,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
