"""Two exposures are averaged as uint8: their sum wraps around."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'seven-c21',
    "class": 'integers-wrap',
    "where": 'exposures',
    "code": 'merged = (first + second) // 2',
    "static": False,
    "severity": 'error',
    "keywords": ['uint8', 'overflow', 'wrap'],
    "rule": 'integers-wrap',
}
FIX = [
    ('(first + second) // 2', '(first.astype(np.int32) + second) // 2'),
]


def exposures(n, seed):
    base = np.random.default_rng(5).integers(20, 236, (4, 64))
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    first = np.clip(base[y] + rng.normal(0, 30, (n, 64)), 0, 255).astype(np.uint8)
    second = np.clip(base[y] + rng.normal(0, 30, (n, 64)), 0, 255).astype(np.uint8)
    merged = (first + second) // 2
    x = torch.from_numpy(merged.astype(np.float32)) / 127.5 - 1
    return TensorDataset(x, torch.from_numpy(y))


def build():
    return {
        "model": nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": exposures(500, 0),
        "val_set": exposures(250, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
