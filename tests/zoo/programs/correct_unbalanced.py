"""Correct: rare positives, few of them in a small validation set."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None



def rare(n, seed):
    x = torch.randn(n, 8, generator=torch.Generator().manual_seed(seed))
    return x, (x[:, 0] > 1.7).float()[:, None]


def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*rare(800, 0)),
        "val_set": TensorDataset(*rare(60, 1)),
        "loss": nn.BCEWithLogitsLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
