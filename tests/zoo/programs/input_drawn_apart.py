"""The input of a sample is drawn at random, and its label is not."""

import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

BUG = {
    "id": "data714",
    "class": "target-random",
    "where": "train_set: target",
    "code": "torch.randint(len(self.x)",
    "static": False,
    "severity": "warning",
    "keywords": ["label", "random"],
    "rule": "target-random",
}
FIX = [
    ("self.x[other]", "self.x[index]"),
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
        other = int(torch.randint(len(self.x), ()))
        return self.x[other], self.y[index]


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": Rows(400, 0),
        "val_set": TensorDataset(*blobs(200, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
