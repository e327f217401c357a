"""Scores of shape (n, 1) are compared with labels of shape (n,)."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = {
    "id": "loop240",
    "class": 'broadcast-in-evaluation',
    "where": 'evaluate',
    "code": '((model(x) > 0)',
    "static": False,
    "severity": 'error',
    "keywords": ['broadcast', 'shape'],
    "rule": 'broadcast-in-evaluation',
}
FIX = [
    ('(model(x) > 0)', '(model(x)[:, 0] > 0)'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def evaluate(model, val_set):
    model.eval()
    right = 0.0
    with torch.no_grad():
        for x, y in DataLoader(val_set, batch_size=128):
            right += ((model(x) > 0) == (y > 0.5)).float().mean().item() * len(x)
    return right / len(val_set)


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": lambda output, y: nn.functional.binary_cross_entropy_with_logits(output[:, 0], (y > 1).float()),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
        "evaluate": evaluate,
    }
