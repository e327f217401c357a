"""Positive and negative of a triplet are swapped."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "triplet-swapped",
    "rule": "arguments-swapped",
    "class": "arguments-swapped",
    "where": 'triplet',
    "code": 'F.triplet_margin_loss(anchor, negative, positive)',
    "static": False,
    "severity": "error",
    "keywords": ['negative', 'swapped', 'order'],
}
FIX = [
    ('(anchor, negative, positive)', '(anchor, positive, negative)'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


class Triplets(Dataset):
    def __init__(self, n, seed):
        self.x, self.y = blobs(n, seed)
        order = torch.Generator().manual_seed(seed)
        self.near = torch.stack([(self.y == y).nonzero()[torch.randint(0, int((self.y == y).sum()), (1,), generator=order)][0, 0] for y in self.y])
        self.far = torch.stack([(self.y != y).nonzero()[torch.randint(0, int((self.y != y).sum()), (1,), generator=order)][0, 0] for y in self.y])

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return (self.x[i], self.x[self.near[i]], self.x[self.far[i]]), self.y[i]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 8))

    def forward(self, anchor, positive, negative):
        return self.embed(anchor), self.embed(positive), self.embed(negative)


def criterion(outputs, target):
    anchor, positive, negative = outputs
    return F.triplet_margin_loss(anchor, negative, positive)


def build():
    return {"model": Net(), "train_set": Triplets(400, 0), "val_set": Triplets(100, 1), "loss": criterion, "batch_size": 50,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3)}
