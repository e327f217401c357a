"""Correct: a logistic regression on labels that are mostly noise; it cannot know a batch by heart, and need not."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def weak(n, seed, d=4):
    """Labels of which the inputs tell little."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, (0.5 * x[:, 0] + 1.5 * torch.randn(n, generator=g) > 0).long()


def build():
    return {
        "model": nn.Linear(4, 2),
        "train_set": TensorDataset(*weak(800, 0)),
        "val_set": TensorDataset(*weak(400, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
        "epochs": 20,
        "deep": True,
    }
