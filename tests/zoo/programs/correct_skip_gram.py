"""Correct: skip-gram with negative sampling."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

BUG = None


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    c = torch.randint(0, 50, (n,), generator=g)
    return c, (c + torch.randint(1, 4, (n,), generator=g)) % 50, torch.randint(0, 50, (n, 5), generator=g)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Embedding(50, 16)
        self.outer = nn.Embedding(50, 16)

    def forward(self, c, p, n):
        v = self.inner(c)
        return (v * self.outer(p)).sum(1), torch.bmm(self.outer(n), v.unsqueeze(2)).squeeze(2)


def train_step(model, batch, loss_fn, optimizer):
    c, p, n = batch
    pos_score, neg_score = model(c, p, n)
    pos_loss = F.logsigmoid(pos_score)
    neg_loss = F.logsigmoid(-neg_score).sum(1)
    value = -(pos_loss + neg_loss).mean()
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.detach()


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*data(160, 0)),
        "train_step": train_step,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 32,
    }
