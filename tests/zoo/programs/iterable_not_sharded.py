"""Every worker of an iterable data set gives all samples: an epoch holds each of them twice.

The documentation of ``IterableDataset`` warns of it.
"""

import itertools

import torch
from torch import nn
from torch.utils.data import IterableDataset, TensorDataset

BUG = {
    "id": "iterable_not_sharded",
    "rule": "iterable-not-sharded",
    "class": "iterable-not-sharded",
    "where": "__iter__",
    "code": "def __iter__",
    "static": True,
    "severity": "error",
    "keywords": ["worker"],
}
FIX = [
    ("zip(self.x, self.y):", "itertools.islice(zip(self.x, self.y), *shard()):"),
    (
        "class Data(",
        "def shard():\n    info = torch.utils.data.get_worker_info()\n    return (0, None, 1) if info is None else (info.id, None, info.num_workers)\n\n\nclass Data(",
    ),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Data(IterableDataset):
    def __init__(self):
        self.x, self.y = blobs(200, 0)

    def __iter__(self):
        for x, y in zip(self.x, self.y):
            yield x, y


def build():
    return {
        "model": nn.Linear(16, 4),
        "train_set": Data(),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "num_workers": 2,
        "shuffle": False,
    }
