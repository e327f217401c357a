"""Positions that are zeros and no parameter."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'positions-in-a-buffer-of-zeros',
    "rule": 'table-never-learns',
    "class": 'table-never-learns',
    "where": 'pos',
    "code": 'self.register_buffer("pos", torch.zeros(1, 14, 32))',
    "static": False,
    "severity": 'error',
    "keywords": ['buffer', 'Parameter', 'never trained'],
}
FIX = [
    ('self.register_buffer("pos", torch.zeros(1, 14, 32))', 'self.pos = nn.Parameter(torch.randn(1, 14, 32) * 0.02)'),
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
        self.register_buffer("pos", torch.zeros(1, 14, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(32, 2)

    def forward(self, x):
        h = self.encoder(self.embed(x) + self.pos)
        return self.head(h.mean(1))


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
