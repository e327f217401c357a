"""One sample of the training set raises."""

import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

BUG = {
    "id": "data724",
    "class": "sample-fails",
    "where": "train_set[123]",
    "code": "self.kept[index]",
    "static": False,
    "severity": "error",
    "keywords": ["KeyError", "read"],
    "rule": "sample-fails",
}
FIX = [
    ("index != 123", "index < n"),
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
        self.kept = {index: row for index, row in enumerate(self.x) if index != 123}

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.kept[index], self.y[index]


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": Rows(300, 0),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
