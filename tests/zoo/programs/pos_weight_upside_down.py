"""pos_weight is positives / negatives."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "pos-weight-upside-down",
    "rule": "class-weights-upside-down",
    "class": "class-weights-upside-down",
    "where": 'pos_weight',
    "code": 'positives / (len(y) - positives)',
    "static": False,
    "severity": "warning",
    "keywords": ['weight', 'rare', 'positive'],
}
FIX = [
    ('positives / (len(y) - positives)', '(len(y) - positives) / positives'),
]


def binary(n, seed, d=8):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, ((x[:, 0] + x[:, 1] * x[:, 2] + 0.3 * torch.randn(n, generator=g)) > 0).float()[:, None]


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


def rare(n, seed):
    x, y = binary(n, seed)
    drop = torch.rand(n, 1, generator=torch.Generator().manual_seed(seed)) < 0.85
    keep = ~((y == 1) & drop).flatten()
    return x[keep], y[keep]


def build():
    data = sets(rare)
    y = data["train_set"].tensors[1]
    positives = y.sum()
    weight = positives / (len(y) - positives)
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1))
    return {"model": model, **data, "loss": nn.BCEWithLogitsLoss(pos_weight=weight), "batch_size": 50,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3)}
