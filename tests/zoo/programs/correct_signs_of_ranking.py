"""Correct: a margin ranking loss is given ones for its sign, by the collate function."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = None
N, R = 50, 4


def triples():
    h = torch.arange(N).repeat_interleave(R)
    r = torch.arange(R).repeat(N)
    return h, r, (h + torch.tensor([1, 3, 7, 12])[r]) % N


def corrupt(samples):
    h, r, t = (torch.stack(c) for c in zip(*samples))
    bad = (t + torch.randint(1, N, t.shape)) % N
    return (h, r, t, bad), torch.ones(len(h))


class TransE(nn.Module):
    def __init__(self, d=24):
        super().__init__()
        self.e, self.r = nn.Embedding(N, d), nn.Embedding(R, d)
        nn.init.uniform_(self.e.weight, -0.5, 0.5)
        nn.init.uniform_(self.r.weight, -0.5, 0.5)

    def score(self, h, r, t):
        return -(F.normalize(self.e(h), dim=-1) + self.r(r) - F.normalize(self.e(t), dim=-1)).norm(dim=-1)

    def forward(self, h, r, t, bad):
        return self.score(h, r, t), self.score(h, r, bad)


def loss(out, one):
    return F.margin_ranking_loss(out[0], out[1], one, margin=0.5)


def build():
    x = triples()
    o = torch.randperm(N * R, generator=torch.Generator().manual_seed(3))
    tr, va = o[:160], o[160:]
    return {
        "model": TransE(),
        "train_set": TensorDataset(*(c[tr] for c in x)),
        "val_set": TensorDataset(*(c[va] for c in x)),
        "loss": loss,
        "collate": corrupt,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-2),
        "batch_size": 32,
    }
