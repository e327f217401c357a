"""The last step of a bidirectional LSTM."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "wrong-end-of-sequence",
    "rule": "wrong-end-of-sequence",
    "class": "wrong-end-of-sequence",
    "where": 'Net.forward',
    "code": 'out[:, -1]',
    "static": False,
    "severity": "warning",
    "keywords": ['bidirectional', 'backward', 'reverse'],
}
FIX = [
    ('out[:, -1]', 'torch.cat([state[0], state[1]], 1)'),
    ('out, _ =', 'out, (state, _) ='),
]


def series(n, seed, t=12, f=4, k=3):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    x = torch.randn(n, t, f, generator=g) * 0.7
    x[:, 3, 0] += (y - 1) * 2.0
    x[:, 8, 1] += (y == 1) * 2.0
    return x, y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(4, 16, bidirectional=True, batch_first=True)
        self.head = nn.Linear(32, 3)

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.head(out[:, -1])


def build():
    return {"model": Net(), **sets(series), "loss": nn.CrossEntropyLoss(), "batch_size": 50,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=5e-3)}
