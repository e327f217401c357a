"""Correct: an iterable data set that is shared out among the workers."""

import torch
from torch import nn
from torch.utils.data import IterableDataset, TensorDataset

BUG = None


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
        info = torch.utils.data.get_worker_info()
        k, n = (0, 1) if info is None else (info.id, info.num_workers)
        for i in range(k, 200, n):
            yield self.x[i], self.y[i]


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
