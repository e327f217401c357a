"""One table for three fields, and no offset."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'fields-without-offsets',
    "rule": 'fields-share-rows',
    "class": 'fields-share-rows',
    "where": 'embed',
    "code": 'rows = self.embed(x)',
    "static": False,
    "severity": 'warning',
    "keywords": ['offset', 'share', 'same row'],
}
FIX = [
    ('self.embed(x)', 'self.embed(x + self.offset)'),
]


def shops(n, seed):
    """Three categories of 10 values each."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 10, (n, 3), generator=g)
    table = torch.randn(3, 10, generator=torch.Generator().manual_seed(5))
    y = ((table[0, x[:, 0]] * table[1, x[:, 1]] - table[2, x[:, 2]]) > 0).long()
    return TensorDataset(x, y)


TRAIN, VAL, LOSS = shops(480, 0), shops(200, 1), nn.CrossEntropyLoss()

class Net(nn.Module):
    """One table for all fields; field f has rows 10 f to 10 f + 9."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(30, 16)
        self.register_buffer("offset", torch.arange(0, 30, 10))
        self.net = nn.Sequential(nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 2))

    def forward(self, x):
        rows = self.embed(x)
        return self.net(rows.flatten(1))


def build():
    return {
        "model": Net(),
        "train_set": TRAIN,
        "val_set": VAL,
        "loss": LOSS,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=2e-3),
        "batch_size": 32,
        "epochs": 8,
    }
