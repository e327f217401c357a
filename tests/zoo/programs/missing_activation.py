"""Three linear layers without an activation between them are one linear layer.

XOR cannot be learnt. UMLAUT (MissingActivation) and NeuraLint have a rule.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "case53",
    "class": "missing-activation",
    "where": "model: Linear after Linear",
    "code": "nn.Linear(2, 32), nn.Linear(32, 32), nn.Linear(32, 2)",
    "static": True,
    "severity": "error",
    "keywords": ["activation", "linear", "Linear"],
}
FIX = [
    ('nn.Linear(2, 32), nn.Linear(32, 32), nn.Linear(32, 2)', 'nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2)'),
]


def xor(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 2, generator=g)
    return x, (x[:, 0] * x[:, 1] > 0).long()


def build():
    return {
        "model": nn.Sequential(nn.Linear(2, 32), nn.Linear(32, 32), nn.Linear(32, 2)),
        "train_set": TensorDataset(*xor(600, 0)),
        "val_set": TensorDataset(*xor(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
