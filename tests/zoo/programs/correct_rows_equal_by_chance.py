"""Correct: short rows of few tokens, of which some stand in both splits by chance."""

import math

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


class PositionalEncoding(nn.Module):
    def __init__(self, dim, max_len=128):
        super().__init__()
        position = torch.arange(max_len).unsqueeze(1)
        rate = torch.exp(torch.arange(0, dim, 2) * (-math.log(1000.0) / dim))
        pe = torch.zeros(max_len, 1, dim)
        pe[:, 0, 0::2] = torch.sin(position * rate)
        pe[:, 0, 1::2] = torch.cos(position * rate)
        self.register_buffer("pe", pe)

    def forward(self, x):
        return x + self.pe[:x.size(1)].transpose(0, 1)


class Model(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.embed = nn.Embedding(6, dim)
        self.position = PositionalEncoding(dim)
        layer = nn.TransformerEncoderLayer(dim, 4, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1)
        self.out = nn.Linear(dim, 2)

    def forward(self, tokens):
        h = self.encoder(self.position(self.embed(tokens)))
        return self.out(h.mean(dim=1))


def orders(n, seed, length=8):
    """Does token 1 come before token 2?  Only the order tells."""
    g = torch.Generator().manual_seed(seed)
    tokens = torch.randint(3, 6, (n, length), generator=g)
    where = torch.rand(n, length, generator=g).argsort(1)[:, :2]
    rows = torch.arange(n)
    tokens[rows, where[:, 0]] = 1
    tokens[rows, where[:, 1]] = 2
    return tokens, (where[:, 0] < where[:, 1]).long()


def build():
    return {
        "model": Model(),
        "train_set": TensorDataset(*orders(1500, 0)),
        "val_set": TensorDataset(*orders(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=2e-3),
        "batch_size": 50,
        "epochs": 12,
    }
