"""Correct: the parity of many bits, which no plain predictor guesses."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None



def parity(n, seed):
    x = torch.randint(0, 2, (n, 12), generator=torch.Generator().manual_seed(seed)).float()
    return x * 2 - 1, x.sum(1).long() % 2


def build():
    return {
        "model": nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 2)),
        "train_set": TensorDataset(*parity(600, 0)),
        "val_set": TensorDataset(*parity(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
