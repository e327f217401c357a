"""Each block of a loop reads the same tensor, so that only the last one counts."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "blocks-read-the-same-input",
    "rule": "result-never-used",
    "class": "result-never-used",
    "where": 'Net.forward',
    "code": 'h = block(x)',
    "static": False,
    "severity": "error",
    "keywords": ['gradient', 'never', 'ignored', 'not used', 'overwritten'],
}
FIX = [
    ('h = block(x)', 'x = block(x)'),
    ('self.head(h.mean(1))', 'self.head(x.mean(1))'),
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
        self.embed = nn.Linear(4, 32)
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True) for _ in range(3))
        self.head = nn.Linear(32, 3)

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            h = block(x)
        return self.head(h.mean(1))


def build():
    return {"model": Net(), **sets(series), "loss": nn.CrossEntropyLoss(), "batch_size": 50,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3)}
