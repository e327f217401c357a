"""Correct: contrastive pairs whose negatives are mined: each the nearest of the other kind."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = None


class Pairs(Dataset):
    """Shapes of two kinds, told by a sign alone; a positive is far augmented, a negative the nearest of the other kind."""

    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.x = torch.randn(n, 12, generator=g)
        self.kind = (self.x[:, :3].prod(1) > 0).long()
        self.near = torch.cdist(self.x, self.x)
        self.near.masked_fill_(self.kind[:, None] == self.kind, float("inf"))
        self.same = torch.rand(n, generator=g) < 0.5

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        if self.same[i]:
            others = (self.kind == self.kind[i]).nonzero().flatten()
            j = int(others[torch.randint(len(others), ())])
        else:
            j = int(self.near[i].argmin())
        return (self.x[i], self.x[j]), self.same[i].float()


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16))

    def forward(self, a, b):
        return self.net(a), self.net(b)


def loss(pair, same, margin=1.0):
    d = (pair[0] - pair[1]).norm(dim=1)
    return (same * d.square() + (1 - same) * (margin - d).relu().square()).mean()


def build():
    return {
        "model": Siamese(),
        "train_set": Pairs(600, 0),
        "val_set": Pairs(200, 1),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
