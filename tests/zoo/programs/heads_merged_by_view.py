"""Heads of an attention are merged by view, without the transpose."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "heads-merged-by-view",
    "rule": "view-for-transpose",
    "class": "view-for-transpose",
    "where": 'view',
    "code": '.view(b, t, d)',
    "static": False,
    "severity": "error",
    "keywords": ['transpose', 'order', 'scrambled', 'mixed'],
}
FIX = [
    (').view(b, t, d)', ').transpose(1, 2).reshape(b, t, d)'),
]


def series(n, seed, t=12, f=4, k=3):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    x = torch.randn(n, t, f, generator=g) * 0.7
    x[:, 3, 0] += (y - 1) * 2.0
    x[:, 8, 1] += (y == 1) * 2.0
    return x, y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


class Attention(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(d, 3 * d), nn.Linear(d, d)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q, k, v)
        return self.out(h.contiguous().view(b, t, d))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.attend, self.head = nn.Linear(4, 32), Attention(32, 4), nn.Linear(32, 3)

    def forward(self, x):
        h = self.embed(x)
        return self.head(torch.relu(h + self.attend(h)).mean(1))


def build():
    return {"model": Net(), **sets(series), "loss": nn.CrossEntropyLoss(), "batch_size": 50,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3)}
