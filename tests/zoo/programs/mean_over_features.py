"""A mean over the features of each token."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'mean-over-features',
    "rule": 'features-averaged',
    "class": 'features-averaged',
    "where": 'Net.forward',
    "code": 'pooled = h.mean(dim=2)',
    "static": False,
    "severity": 'warning',
    "keywords": ['dim', 'mean', 'time'],
}
FIX = [
    ('h.mean(dim=2)', 'h.mean(dim=1)'),
    ('nn.Linear(14, 2)', 'nn.Linear(32, 2)'),
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
        self.embed = nn.Embedding(40, 32)
        self.mix = nn.Linear(32, 32)
        self.head = nn.Linear(14, 2)

    def forward(self, x):
        h = torch.tanh(self.mix(self.embed(x)))
        pooled = h.mean(dim=2)
        return self.head(pooled)


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
