"""Conv1d on (batch, time, features)."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'embedding-convolved-along-features',
    "rule": 'convolution-along-features',
    "class": 'convolution-along-features',
    "where": 'Net.forward',
    "code": 'h = F.relu(self.conv(h))',
    "static": False,
    "severity": 'error',
    "keywords": ['transpose', 'permute', 'channel'],
}
FIX = [
    ('nn.Conv1d(14, 32, 3, padding=1)', 'nn.Conv1d(24, 32, 3, padding=1)'),
    ('h = self.embed(x)', 'h = self.embed(x).transpose(1, 2)'),
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
    """Kim's CNN."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(40, 24)
        self.conv = nn.Conv1d(14, 32, 3, padding=1)
        self.head = nn.Linear(32, 2)

    def forward(self, x):
        h = self.embed(x)
        h = F.relu(self.conv(h))
        return self.head(h.max(dim=2).values)


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
