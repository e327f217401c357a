"""Correct: sums modulo a prime, of which a part of the table is held back."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None



def table(start, step):
    a, b = torch.meshgrid(torch.arange(29), torch.arange(29), indexing="ij")
    pairs = torch.stack([a.flatten(), b.flatten()], 1)
    pairs = pairs[torch.randperm(len(pairs), generator=torch.Generator().manual_seed(0))][start::step]
    return pairs, pairs.sum(1) % 29


def build():
    return {
        "model": nn.Sequential(nn.Embedding(29, 16), nn.Flatten(), nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 29)),
        "train_set": TensorDataset(*table(0, 2)),
        "val_set": TensorDataset(*table(1, 2)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
