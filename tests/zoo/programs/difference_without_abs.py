"""The mean of differences: outputs run off, whatever the targets are."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "difference_without_abs",
    "rule": "target-never-read",
    "class": "loss-unbounded",
    "where": "loss",
    "code": "(pred - true).mean()",
    "static": False,
    "severity": "error",
    "keywords": ['unbounded', 'without bound', 'below', 'sign', 'minus', 'abs', 'square'],
    "also": ['error_of'],
}
FIX = [
    ('(pred - true).mean()', '(pred - true).abs().mean()'),
]



def error_of(pred, true):
    return (pred - true).mean()


def make(n, seed):
    x = torch.randn(n, 7, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, x @ torch.linspace(-1, 1, 7)[:, None])


def build():
    return {"model": nn.Sequential(nn.Linear(7, 16), nn.ReLU(), nn.Linear(16, 1)), "train_set": make(600, 0), "val_set": make(200, 1),
            "loss": error_of, "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3), "batch_size": 50}
