"""Cosines are multiplied by the temperature instead of divided."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "temperature-multiplied",
    "rule": "bounded-logits",
    "class": "bounded-logits",
    "where": 'loss',
    "code": 'logits = a @ b.t() * 0.07',
    "static": False,
    "severity": "error",
    "keywords": ['confined', 'temperature', 'logits'],
}
FIX = [
    ('a @ b.t() * 0.07', 'a @ b.t() / 0.07'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(10, 16), nn.Linear(10, 16)

    def forward(self, x, y):
        return F.normalize(self.one(x), dim=-1), F.normalize(self.two(y), dim=-1)


def criterion(outputs, target):
    a, b = outputs
    logits = a @ b.t() * 0.07
    labels = torch.arange(len(a))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.t(), labels)) / 2


class Views(Dataset):
    def __init__(self, n, seed):
        self.x, self.y = blobs(n, seed)
        self.z = self.x + 0.1 * torch.randn(n, 10, generator=torch.Generator().manual_seed(seed))

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return (self.x[i], self.z[i]), 0


def build():
    return {"model": Two(), "train_set": Views(400, 0), "val_set": Views(100, 1), "loss": criterion, "batch_size": 50,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3)}
