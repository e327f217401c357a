"""A sensor that failed: its column holds one value in every sample, and tells the model nothing."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "constant-column",
    "rule": "constant-column",
    "class": "constant-feature",
    "where": "train_set: column 3",
    "code": "readings[:, 3] = 20.0",
    "static": False,
    "severity": "info",
    "keywords": ["constant", "column", "feature"],
}
FIX = [
    ("readings[:, 3] = 20.0", "readings[:, 3] = 20.0 + 3.0 * torch.randn(n, generator=g)"),
]


def log_of(n, seed):
    g = torch.Generator().manual_seed(seed)
    readings = torch.randn(n, 6, generator=g)
    readings[:, 3] = 20.0
    target = readings[:, 0].tanh() + readings[:, 1] * 0.5 + 0.05 * torch.randn(n, generator=g)
    centred = readings - torch.tensor([0.0, 0.0, 0.0, 20.0, 0.0, 0.0])
    return centred / torch.tensor([1.0, 1.0, 1.0, 3.0, 1.0, 1.0]), target[:, None]


def build():
    return {
        "model": nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*log_of(500, 0)),
        "val_set": TensorDataset(*log_of(200, 1)),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
