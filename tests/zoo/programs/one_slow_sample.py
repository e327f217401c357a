"""One sample takes far longer to read than all others."""

import time

import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

BUG = {
    "id": "data729",
    "class": "slow-sample",
    "where": "train_set[40]",
    "code": "def __getitem__",
    "static": False,
    "severity": "info",
    "keywords": ["times as long"],
    "rule": "slow-sample",
}
FIX = [
    ("time.sleep(0.05 * (index == 40))", "time.sleep(0.0)"),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Rows(Dataset):
    def __init__(self, n, seed):
        self.x, self.y = blobs(n, seed)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        time.sleep(0.05 * (index == 40))
        return self.x[index], self.y[index]


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": Rows(200, 0),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
