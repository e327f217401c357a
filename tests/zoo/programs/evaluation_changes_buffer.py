"""A running mean of the features follows the validation set too."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop230",
    "class": 'evaluation-changes-state',
    "where": 'mean',
    "code": 'self.mean.lerp_',
    "static": False,
    "severity": 'warning',
    "keywords": ['eval'],
    "rule": 'evaluation-changes-state',
}
FIX = [
    (' or True', ''),
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
        self.register_buffer("mean", torch.zeros(16))
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        if self.training or True:
            self.mean.lerp_(x.detach().mean(0), 0.1)
        return self.head(x - self.mean)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
    }
