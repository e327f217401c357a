"""An LSTM without ``batch_first=True`` is given (batch, time, feature).

It runs along the batch: every step of "time" is another sample. Reported: pytorch/pytorch#1538,
facebookresearch/fairseq#2449 (in a tutorial).
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "case19",
    "class": "batch-mixing",
    "where": "rnn: batch_first",
    "code": "nn.LSTM(4, 16)",
    "static": True,
    "severity": "error",
    "keywords": ["batch_first", "LSTM", "rnn"],
}
FIX = [
    ('nn.LSTM(4, 16)', 'nn.LSTM(4, 16, batch_first=True)'),
]


def sequences(n, seed, t=12, f=4):
    """Sequences whose class is told by the first step only: a model has to remember it."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 2, (n,), generator=g)
    x = torch.randn(n, t, f, generator=g) * 0.5
    x[:, 0, 0] += (y * 2 - 1) * 2.0
    return x, y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(4, 16)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.head(out[:, -1])


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*sequences(600, 0)),
        "val_set": TensorDataset(*sequences(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
