"""A Gaussian likelihood of mean and variance that the model joins in one output: softplus keeps the variance positive."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def sensor(n, seed):
    """A quantity whose noise depends on the input."""
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 2, generator=g) * 2 - 1
    noise = 0.03 + 0.15 * (x[:, 1] + 1) / 2
    y = 0.6 * torch.sin(3 * x[:, 0]) + noise * torch.randn(n, generator=g)
    return x, y


class MeanAndSpread(nn.Module):
    def __init__(self, width=40):
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(2, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.mean = nn.Linear(width, 1)
        self.spread = nn.Linear(width, 1)

    def forward(self, x):
        h = self.hidden(x)
        variance = F.softplus(self.spread(h)) + 1e-4
        return torch.cat([self.mean(h), variance], dim=1)


def likelihood(output, y):
    mean, variance = output.unbind(dim=1)
    return F.gaussian_nll_loss(mean, y, variance)


def build():
    return {
        "model": MeanAndSpread(),
        "train_set": TensorDataset(*sensor(1500, 0)),
        "val_set": TensorDataset(*sensor(300, 1)),
        "loss": likelihood,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=3e-3),
        "batch_size": 50,
        "epochs": 12,
    }
