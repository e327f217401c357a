"""An autoencoder ties its decoder by .data: two parameters in one memory."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop230",
    "class": 'tied-by-data',
    "where": 'decode.weight',
    "code": 'self.decode.weight.data',
    "static": False,
    "severity": 'warning',
    "keywords": ['tied', 'share'],
    "rule": 'tied-by-data',
}
FIX = [
    ('self.decode.weight.data = self.encode.weight.data', 'self.decode.weight = self.encode.weight'),
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
        self.encode, self.decode = nn.Linear(16, 16), nn.Linear(16, 16)
        self.decode.weight.data = self.encode.weight.data
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        return self.head(torch.relu(self.decode(torch.relu(self.encode(x)))))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
    }
