"""Correct: a triplet loss of cosine distances, and of negated norms."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

BUG = None


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    centres = torch.randn(6, 16, generator=torch.Generator().manual_seed(7))
    y = torch.randint(0, 6, (n,), generator=g)
    z = (y + torch.randint(1, 6, (n,), generator=g)) % 6
    return tuple(centres[k] + 0.7 * torch.randn(n, 16, generator=g) for k in (y, y, z))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))

    def forward(self, x):
        return self.body(x)


def train_step(model, batch, loss_fn, optimizer):
    a, p, n = (model(item) for item in batch)
    pos_score = -(a - p).norm(dim=1)
    neg_score = -(a - n).norm(dim=1)
    value = -F.logsigmoid(pos_score - neg_score).mean()
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.detach()


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*data(160, 0)),
        "train_step": train_step,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 32,
    }
