"""Correct: a loss leaves out the samples without a class, which are marked by -1, and reverses a gradient."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = None


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, lam):
        ctx.lam = lam
        return x.view_as(x)

    @staticmethod
    def backward(ctx, g):
        return -ctx.lam * g, None


class Domains(Dataset):
    """Half source with labels, half shifted target without."""

    def __init__(self, n, seed, both=True):
        c = torch.randn(3, 12, generator=torch.Generator().manual_seed(7))
        g = torch.Generator().manual_seed(seed)
        self.y = torch.randint(0, 3, (n,), generator=g)
        self.d = torch.randint(0, 2, (n,), generator=g)
        self.x = (
            c[self.y]
            + 0.5 * torch.randn(n, 12, generator=g)
            + 0.8 * self.d[:, None] * torch.linspace(-1, 1, 12)
        )
        if both:
            self.y = torch.where(self.d == 0, self.y, -1)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], (self.y[i], self.d[i].float())


class DANN(nn.Module):
    def __init__(self):
        super().__init__()
        self.f, self.cls = nn.Sequential(nn.Linear(12, 32), nn.ReLU()), nn.Linear(32, 3)
        self.dom = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
        self.register_buffer("n", torch.tensor(0.0))

    def forward(self, x):
        if self.training:
            self.n += 1
        h = self.f(x)
        lam = 2 / (1 + math.exp(-self.n.item() / 100)) - 1
        return self.cls(h), self.dom(Reverse.apply(h, lam)).squeeze(1)


def loss(out, t):
    known = t[0] >= 0
    ce = F.cross_entropy(out[0][known], t[0][known]) if known.any() else out[0].sum() * 0
    return ce + F.binary_cross_entropy_with_logits(out[1], t[1])


def build():
    return {
        "model": DANN(),
        "train_set": Domains(800, 0),
        "val_set": Domains(200, 1, both=False),
        "loss": loss,
        "make_optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9),
        "batch_size": 50,
    }
