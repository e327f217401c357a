"""Dropout between the layers of one layer."""

import warnings

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'lstm-dropout-of-one-layer',
    "rule": 'dropout-without-effect',
    "class": 'dropout-without-effect',
    "where": 'LSTM',
    "code": 'nn.LSTM(32, 64, batch_first=True, dropout=0.5)',
    "static": False,
    "severity": 'info',
    "keywords": ['dropout', 'num_layers', 'one layer'],
}
FIX = [
    (', dropout=0.5', ''),
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
        self.lstm = nn.LSTM(32, 64, batch_first=True, dropout=0.5)
        self.head = nn.Linear(64, 2)

    def forward(self, x):
        out, _ = self.lstm(self.embed(x))
        return self.head(out[:, -1])


def build():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch tells it too
        model = Net()
    return {
        "model": model,
        "train_set": TRAIN,
        "val_set": VAL,
        "loss": LOSS,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=2e-3),
        "batch_size": 32,
        "epochs": 8,
    }
