"""Overlapping windows of one series are split at random."""

import torch
from torch import nn
from torch.utils.data import Subset, TensorDataset, random_split  # noqa: F401 - the repair uses Subset

BUG = {
    "id": "data705",
    "class": "windows-overlap",
    "where": "val_set",
    "code": "random_split(",
    "static": False,
    "severity": "warning",
    "keywords": ["overlap", "leak"],
    "rule": "windows-overlap",
}
FIX = [
    (
        "random_split(windows, [0.8, 0.2], generator=torch.Generator().manual_seed(0))",
        "Subset(windows, range(680)), Subset(windows, range(700, 880))",
    ),
]


g = torch.Generator().manual_seed(0)
series = torch.randn(900, generator=g).cumsum(0) * 0.1
series = (series - series.mean()) / series.std()
windows = TensorDataset(series.unfold(0, 16, 1)[:-1], series[16:, None])
train, val = random_split(windows, [0.8, 0.2], generator=torch.Generator().manual_seed(0))


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": train,
        "val_set": val,
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
