"""Correct: random labels by design, to see how much a model can learn by heart."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None



def random_labels(n, seed):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, 16, generator=g), torch.randint(0, 4, (n,), generator=g)


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*random_labels(600, 0)),
        "val_set": TensorDataset(*random_labels(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
    }
