"""Rows of a norm of 0.001."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'embedding-held-small',
    "rule": 'embedding-held-small',
    "class": 'embedding-held-small',
    "where": 'embed',
    "code": 'nn.Embedding(40, 32, max_norm=1e-3)',
    "static": False,
    "severity": 'warning',
    "keywords": ['max_norm', 'embedding', 'norm'],
}
FIX = [
    (', max_norm=1e-3', ''),
]


def sentences(n, seed, length=14, vocab=40):
    """Token rows; the class is which of two words comes first."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(3, vocab, (n, length), generator=g)
    y = torch.randint(0, 2, (n,), generator=g)
    at = torch.randint(0, length - 2, (n,), generator=g)
    rows = torch.arange(n)
    x[rows, at], x[rows, at + 1] = 1 + y, 2 - y
    return TensorDataset(x, y)


TRAIN, VAL, LOSS = sentences(480, 0), sentences(200, 1), nn.CrossEntropyLoss()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(40, 32, max_norm=1e-3)
        self.gru = nn.GRU(32, 48, batch_first=True)
        self.head = nn.Linear(48, 2)

    def forward(self, x):
        _, h = self.gru(self.embed(x))
        return self.head(h[-1])


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
