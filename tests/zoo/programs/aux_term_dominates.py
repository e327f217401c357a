"""Aux term dominates."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = {
    'id': 'aux-term-dominates',
    'rule': 'term-outweighs',
    'class': 'term-outweighs',
    'where': 'total_loss',
    'code': 'return ce(logits, y) + 1e5 * F.mse_loss(rec, x)',
    'static': False,
    'severity': 'warning',
    'keywords': ['weight', 'dominat', 'scale', 'larger', 'outweigh', 'term'],
    'also': ['loss', 'rec'],
}
FIX = [
    ('1e5 * F', '0.1 * F'),
]


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y

class Data(Dataset):
    def __init__(self, n, seed):
        self.x, self.y = blobs(n, seed)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], (self.x[i], self.y[i])


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, 64), nn.ReLU())
        self.cls = nn.Linear(64, 4)
        self.rec = nn.Linear(64, 16)

    def forward(self, x):
        h = self.body(x)
        return self.cls(h), self.rec(h)


ce = nn.CrossEntropyLoss()


def total_loss(out, target):
    logits, rec = out
    x, y = target
    return ce(logits, y) + 1e5 * F.mse_loss(rec, x)


def build():
    return {
        "model": TwoHeads(),
        "train_set": Data(300, 0),
        "val_set": Data(200, 1),
        "loss": total_loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
