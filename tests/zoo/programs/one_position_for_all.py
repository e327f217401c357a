"""A colon is missing in the positional encoding: the code of one position is added to every step.

Reported: DiffPoseTalk/DiffPoseTalk#20 (``self.pe[:, x.shape[1], :]``); songyangco/GETNext#2 is its cousin.
"""

import math

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "order-ignored",
    "class": "order-ignored",
    "rule": "order-ignored",
    "where": "PositionalEncoding.forward",
    "also": ["pos", "pe", "PositionalEncoding", "pos.pe"],
    "code": "x = x + self.pe[:, x.shape[1], :]",
    "static": True,
    "severity": "error",
    "keywords": ["position", "order", "permut", "slice", "pe[", "same for all", "constant"],
}
FIX = [
    ('x = x + self.pe[:, x.shape[1], :]', 'x = x + self.pe[:, :x.shape[1], :]'),
]


def dances(n, seed, steps=8, moves=10):
    """Which comes first, move 0 or move 1? Both occur once; the other steps are any other moves."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(2, moves, (n, steps), generator=g)
    places = torch.rand(n, steps, generator=g).argsort(dim=1)[:, :2]
    rows = torch.arange(n)
    x[rows, places[:, 0]] = 0
    x[rows, places[:, 1]] = 1
    return x, (places[:, 0] < places[:, 1]).long()


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, dropout=0.0, max_len=64):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        position = torch.arange(max_len)[:, None]
        rate = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        pe = torch.zeros(1, max_len, d_model)
        pe[0, :, 0::2] = torch.sin(position * rate)
        pe[0, :, 1::2] = torch.cos(position * rate)
        self.register_buffer("pe", pe)

    def forward(self, x):
        x = x + self.pe[:, x.shape[1], :]
        return self.dropout(x)


class DanceModel(nn.Module):
    def __init__(self, moves=10, width=32):
        super().__init__()
        self.embed = nn.Embedding(moves, width)
        self.pos = PositionalEncoding(width)
        layer = nn.TransformerEncoderLayer(width, 4, 64, dropout=0.0, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 2)

    def forward(self, x):
        h = self.encoder(self.pos(self.embed(x)))
        return self.head(h.mean(dim=1))


def build():
    return {
        "model": DanceModel(),
        "train_set": TensorDataset(*dances(1600, 0)),
        "val_set": TensorDataset(*dances(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
        "batch_size": 40,
        "epochs": 8,
    }
