"""Correct: a generator for the order only, one per worker, one per index."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

BUG = None


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Data(Dataset):
    def __init__(self):
        self.x, self.y = blobs(200, 0)
        self.rng = np.random.default_rng(0)
        self.order = self.rng.permutation(200)
        self.worker_rng = None

    def __len__(self):
        return 200

    def __getitem__(self, i):
        if self.worker_rng is None:
            self.worker_rng = np.random.default_rng(torch.initial_seed() % 2**32)
        rng = np.random.default_rng([7, i])
        g = torch.Generator().manual_seed(int(i))
        return self.x[self.order[i]] + float(self.worker_rng.normal()) * 0.1 + float(rng.normal()) * 0.01 + torch.randn(
            16, generator=g
        ) * 0.01, self.y[self.order[i]]


def build():
    return {
        "model": nn.Linear(16, 4),
        "train_set": Data(),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "num_workers": 4,
    }
