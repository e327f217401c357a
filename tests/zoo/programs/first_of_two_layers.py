"""The final state of the first of two recurrent layers is taken for that of the last."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "first-of-two-layers",
    "rule": "result-never-used",
    "class": "result-never-used",
    "where": 'Net.forward',
    "code": 'state[0]',
    "static": False,
    "severity": "error",
    "keywords": ['gradient', 'never', 'layer', 'unused', 'not used'],
}
FIX = [
    ('state[0]', 'state[-1]'),
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
        self.rnn = nn.LSTM(4, 24, num_layers=2, batch_first=True)
        self.head = nn.Linear(24, 3)

    def forward(self, x):
        _, (state, _) = self.rnn(x)
        return self.head(state[0])


def build():
    return {"model": Net(), **sets(series), "loss": nn.CrossEntropyLoss(), "batch_size": 50,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=5e-3)}
