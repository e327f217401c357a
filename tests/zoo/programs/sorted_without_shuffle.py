"""The samples are sorted by class and ``shuffle`` is off: every batch holds one class.

The model follows the last class that it saw. cleanlab's Datalab has a non-IID check for such an
order.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "case28",
    "class": "order-not-shuffled",
    "where": "shuffle",
    "code": "\"shuffle\": False",
    "static": False,
    "severity": "error",
    "keywords": ["shuffle", "sorted", "order", "one class"],
}
FIX = [
    ('"shuffle": False', '"shuffle": True'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def by_class(n, seed):
    x, y = blobs(n, seed)
    x = x + 0.7 * torch.randn(n, 16, generator=torch.Generator().manual_seed(seed + 9))
    order = y.argsort(stable=True)
    return x[order], y[order]


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*by_class(600, 0)),
        "val_set": TensorDataset(*by_class(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9),
        "batch_size": 50,
        "shuffle": False,
    }
