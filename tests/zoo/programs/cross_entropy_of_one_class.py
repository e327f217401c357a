"""Cross entropy over a single logit: a softmax over one class is always 1, the loss always 0.

Reported on the PyTorch forums for binary classifiers with one output.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "cross-entropy-of-one-class",
    "class": "cross-entropy-of-one-class",
    "rule": "cross-entropy-of-one-class",
    "where": "loss",
    "code": '"loss": nn.CrossEntropyLoss()',
    "static": False,
    "severity": "error",
    "keywords": ["one class", "single logit", "BCEWithLogitsLoss"],
}
FIX = [
    ('nn.CrossEntropyLoss()', 'nn.BCEWithLogitsLoss()'),
]


def binary(n, seed):
    """Two classes, 0 and 1, as floats (n, 1)."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 16, generator=g)
    return x, (x[:, :1] + x[:, 1:2] > 0).float()


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*binary(600, 0)),
        "val_set": TensorDataset(*binary(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
