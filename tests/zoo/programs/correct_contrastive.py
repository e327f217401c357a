"""Correct: a contrastive model, whose loss compares the samples of the batch."""

import torch
from torch import nn

BUG = None



def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))

    def forward(self, one, other):
        a, b = (nn.functional.normalize(self.body(x), dim=1) for x in (one, other))
        return a @ b.t() / 0.2


def pairs(n, seed):
    x, _ = blobs(n, seed)
    g = torch.Generator().manual_seed(seed + 9)
    return [((row, row + 0.1 * torch.randn(16, generator=g)), 0) for row in x]


def loss(scores, target):
    return nn.functional.cross_entropy(scores, torch.arange(len(scores)))


def build():
    return {
        "model": Net(),
        "train_set": pairs(400, 0),
        "val_set": pairs(200, 1),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
