"""The second result of an attention, its weights, is taken for its output."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "attention-weights-for-output",
    "rule": "result-never-used",
    "class": "result-never-used",
    "where": 'Net.forward',
    "code": '_, h = self.attend',
    "static": False,
    "severity": "error",
    "keywords": ['gradient', 'never', 'not used', 'unused', 'nothing reads'],
}
FIX = [
    ('_, h = self.attend', 'h, _ = self.attend'),
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
        self.embed = nn.Linear(4, 12)
        self.attend = nn.MultiheadAttention(12, 2, batch_first=True)
        self.head = nn.Linear(12, 3)

    def forward(self, x):
        x = self.embed(x)
        _, h = self.attend(x, x, x)
        return self.head(torch.relu(h).mean(1))


def build():
    return {"model": Net(), **sets(series), "loss": nn.CrossEntropyLoss(), "batch_size": 50,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3)}
