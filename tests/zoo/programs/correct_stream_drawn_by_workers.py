"""Correct: each worker draws samples of its own from torch's generator, which differs from worker to worker."""

import torch
from torch import nn
from torch.utils.data import IterableDataset, TensorDataset

BUG = None


class Drawn(IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        for _ in range(self.n):
            x = torch.randn(6)
            yield x, x[:1] - x[1:2].abs()


def build():
    x = torch.randn(200, 6, generator=torch.Generator().manual_seed(1))
    return {
        "model": nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 1)),
        "train_set": Drawn(300),
        "val_set": TensorDataset(x, x[:, :1] - x[:, 1:2].abs()),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=3e-3),
        "batch_size": 50,
        "shuffle": False,
        "num_workers": 2,
    }
