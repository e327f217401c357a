"""Tokens through a transposed convolution, a recurrent layer, attention pooling and a fixed table of positions."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = None

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


def sinusoids(length, dim):
    where = torch.arange(length)[:, None]
    rate = torch.exp(torch.arange(0, dim, 2) * (-math.log(10000.0) / dim))
    table = torch.zeros(length, dim)
    table[:, 0::2], table[:, 1::2] = torch.sin(where * rate), torch.cos(where * rate)
    return table


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(40, 24, max_norm=5.0)
        self.register_buffer("pos", sinusoids(14, 24))
        self.conv = nn.Conv1d(24, 32, 3, padding=1)
        self.gru = nn.GRU(32, 16, batch_first=True, num_layers=2, dropout=0.1)
        self.score = nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 1))
        self.norm = nn.LayerNorm(16)
        self.drop = nn.Dropout1d(0.1)
        self.head = nn.Linear(16, 2)
        for name, p in self.named_parameters():
            if name.startswith("score") or "absent" in name:
                p.requires_grad_(True)

    def forward(self, x):
        h = self.embed(x) + 0.3 * self.pos
        h = self.drop(F.relu(self.conv(h.transpose(1, 2))))
        h, _ = self.gru(h.transpose(1, 2))
        weight = torch.softmax(self.score(h), dim=1)
        return self.head(self.norm((weight * h).sum(1)))


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
