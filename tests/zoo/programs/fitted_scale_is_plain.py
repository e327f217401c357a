"""The fitted statistics of a scaling layer are plain attributes, not buffers.

A checkpoint does not hold them: a reloaded model scales with 0 and 1. ``to(device)`` misses them too.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "plain-tensor",
    "class": "plain-tensor",
    "rule": "plain-tensor",
    "where": "Standardizer.mean",
    "code": "self.mean = rows.mean(0)",
    "static": True,
    "severity": "warning",
    "keywords": ["buffer", "register", "state_dict", "checkpoint", "device"],
    "also": ["Standardizer.std", "scaler.mean", "scaler.std", "scaler"],
}

FIX = [
    ('self.mean = torch.zeros(n)', 'self.register_buffer("mean", torch.zeros(n))'),
    ('self.std = torch.ones(n)', 'self.register_buffer("std", torch.ones(n))'),
]


class Standardizer(nn.Module):
    """Scales every column with the statistics given to ``fit``."""

    def __init__(self, n):
        super().__init__()
        self.mean = torch.zeros(n)
        self.std = torch.ones(n)

    @torch.no_grad()
    def fit(self, rows):
        self.mean = rows.mean(0)
        self.std = rows.std(0).clamp_min(1e-6)
        return self

    def forward(self, rows):
        return (rows - self.mean) / self.std


class ChurnNet(nn.Module):
    def __init__(self, n_columns, hidden=(32, 16)):
        super().__init__()
        self.scaler = Standardizer(n_columns)
        layers, last = [], n_columns
        for width in hidden:
            layers += [nn.Linear(last, width), nn.SiLU()]
            last = width
        self.mlp = nn.Sequential(*layers, nn.Linear(last, 1))

    def forward(self, rows):
        return self.mlp(self.scaler(rows)).squeeze(1)


def customers(n, seed):
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(n, 4, generator=g)
    columns = z * torch.tensor([3.0, 2.0, 4.0, 1.0]) + torch.tensor([4.0, 1.0, -5.0, 0.0])
    churn = (z[:, 0] - z[:, 1] * z[:, 2] + 0.3 * torch.randn(n, generator=g) > 0).float()
    return columns, churn


def build():
    columns, churn = customers(900, 3)
    model = ChurnNet(columns.shape[1])
    model.scaler.fit(columns)
    return {
        "model": model,
        "train_set": TensorDataset(columns, churn),
        "val_set": TensorDataset(*customers(300, 4)),
        "loss": nn.BCEWithLogitsLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=5e-3),
        "batch_size": 60,
        "epochs": 8,
    }
