"""A batch norm without running statistics: evaluation hangs on the batch."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop322",
    "class": 'batch-mixing',
    "where": 'norm',
    "code": 'track_running_stats=False',
    "static": False,
    "severity": 'warning',
    "keywords": ['track_running_stats', 'batch'],
    "rule": 'batch-mixing',
}
FIX = [
    (', track_running_stats=False', ''),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(16, 32)
        self.last = nn.Linear(32, 4)
        self.norm = nn.BatchNorm1d(32, track_running_stats=False)

    def forward(self, x):
        return self.last(torch.relu(self.norm(self.first(x))))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
