"""``x += noise`` in ``__getitem__`` writes into the stored data: noise piles up from epoch to epoch."""

import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

BUG = {
    "id": "noise_added_to_the_data",
    "rule": "data-changed",
    "class": "data-changed",
    "where": "Data.__getitem__",
    "code": "x +=",
    "static": True,
    "severity": "error",
    "keywords": ["in place"],
}
FIX = [
    ("x += 0.1 * torch.randn(16)", "x = x + 0.1 * torch.randn(16)"),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Data(Dataset):
    def __init__(self):
        self.x, self.y = blobs(200, 0)

    def __len__(self):
        return 200

    def __getitem__(self, i):
        x = self.x[i]
        x += 0.1 * torch.randn(16)
        return x, self.y[i]


def build():
    return {
        "model": nn.Linear(16, 4),
        "train_set": Data(),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
