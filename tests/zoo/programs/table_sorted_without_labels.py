"""The inputs are sorted, their labels are not."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "table_sorted_without_labels",
    "rule": "target-unrelated",
    "class": "labels-independent",
    "where": "train_set",
    "code": "x = x[x[:, 0].argsort()]",
    "static": False,
    "severity": "error",
    "keywords": ['label', 'chance', 'depend', 'permut', 'unrelated', 'order'],
    "also": ['table', 'shuffle'],
}
FIX = [
    ('    x = x[x[:, 0].argsort()]\n', ''),
]



def table(n, seed, tidy=False):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=g)
    y = (x[:, 1:4].sum(1) > 0).long()
    x = x[x[:, 0].argsort()]
    return TensorDataset(x, y)


def build():
    return {"model": nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 2)), "train_set": table(800, 0), "val_set": table(300, 1),
            "loss": nn.CrossEntropyLoss(), "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3), "batch_size": 50}
