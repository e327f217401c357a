"""Correct: a variational information bottleneck: noise in evaluation too, held to a distribution by the loss."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


class Bottleneck(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(10, 32), nn.ReLU())
        self.mean, self.spread = nn.Linear(32, 8), nn.Linear(32, 8)
        self.head = nn.Linear(8, 3)
        self.divergence = torch.zeros(())

    def forward(self, x):
        h = self.body(x)
        mean, std = self.mean(h), F.softplus(self.spread(h))
        self.divergence = 0.5 * (mean**2 + std**2 - 1 - 2 * std.log()).sum(1).mean()
        return self.head(mean + std * torch.randn_like(std))


def train_step(model, batch, loss, optimizer):
    optimizer.zero_grad()
    value = loss(model(batch[0]), batch[1]) + 1e-3 * model.divergence
    value.backward()
    optimizer.step()
    return value.detach()


def table(n, seed):
    x = torch.randn(n, 10, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long())


def build():
    return {
        "model": Bottleneck(),
        "train_set": table(400, 0),
        "val_set": table(150, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=3e-3),
        "train_step": train_step,
        "batch_size": 50,
    }
