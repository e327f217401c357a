"""The rare class is oversampled first and the data are split afterwards: copies of the training
samples are in the validation set.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "oversampled_table_before_split",
    "rule": "leak-between-splits",
    "class": "leak-between-splits",
    "where": "val_set",
    "code": "order = torch.randperm(len(y_all)",
    "static": False,
    "severity": "error",
    "keywords": ["overlap", "duplicate", "leak", "both", "shared", "same samples"],
}
FIX = [
    ('    x_all, y_all = oversample(*load())\n', '    x_all, y_all = load()\n'),
    ('return TensorDataset(x_all[train], y_all[train]), ', 'return TensorDataset(*oversample(x_all[train], y_all[train])), '),
]


def customers(n, seed):
    """Six standardised numbers, two categorical codes (8 cities, 4 plans) and a score."""
    g = torch.Generator().manual_seed(seed)
    numbers = torch.randn(n, 6, generator=g)
    city = torch.randint(0, 8, (n,), generator=g)
    plan = torch.randint(0, 4, (n,), generator=g)
    effect = torch.tensor([1.5, -1.0, 0.5, -1.5, 1.0, -0.5, 2.0, -2.0])[city]
    score = numbers @ torch.linspace(-1, 1, 6) + effect + 0.5 * (plan - 1.5) * numbers[:, 0]
    return numbers, torch.stack([city, plan], 1), score + 0.3 * torch.randn(n, generator=g)


def oversample(x, y):
    """Repeat the rare class until both are equally frequent."""
    rare = (y == 1).nonzero().flatten()
    times = int((y == 0).sum() // len(rare)) - 1
    index = torch.cat([torch.arange(len(y)), rare.repeat(times)])
    return x[index], y[index]


def load():
    numbers, codes, score = customers(900, 0)
    x = torch.cat([numbers, F.one_hot(codes[:, 0], 8).float(), F.one_hot(codes[:, 1], 4).float()], 1)
    return x, (score > 2.4).long()


def splits():
    x_all, y_all = oversample(*load())
    order = torch.randperm(len(y_all), generator=torch.Generator().manual_seed(0))
    cut = int(0.8 * len(order))
    train, val = order[:cut], order[cut:]
    return TensorDataset(x_all[train], y_all[train]), TensorDataset(x_all[val], y_all[val])


def build():
    train_set, val_set = splits()
    return {
        "model": nn.Sequential(nn.Linear(18, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)),
        "train_set": train_set,
        "val_set": val_set,
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=3e-3),
        "batch_size": 40,
        "epochs": 5,
    }
