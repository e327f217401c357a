"""The state of the cell is made anew for every token of a tagger: the label depends on the previous token and cannot be told."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'state-made-anew',
    "rule": 'state-made-anew',
    "class": 'recurrence',
    "where": 'forward',
    "code": 'hx = self.cell(e[:, t], torch.zeros(len(x), 32))',
    "static": False,
    "severity": 'error',
    "keywords": ['state', 'previous', 'memory', 'recurren', 'earlier'],
}
FIX = [
    ('self.cell(e[:, t], torch.zeros(len(x), 32))', 'self.cell(e[:, t], hx)'),
]


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 8, (n, 9), generator=g)
    y = (x + torch.cat([torch.zeros(n, 1, dtype=torch.long), x[:, :-1]], 1)) % 4
    return TensorDataset(x, y)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(8, 16)
        self.cell = nn.GRUCell(16, 32)
        self.fc = nn.Linear(32, 4)

    def forward(self, x):
        e = self.embed(x)
        hx = torch.zeros(len(x), 32)
        outs = []
        for t in range(x.size(1)):
            hx = self.cell(e[:, t], torch.zeros(len(x), 32))
            outs.append(self.fc(hx))
        return torch.stack(outs, 2)


def build():
    return {"model": Tagger(), "train_set": data(500, 0), "val_set": data(100, 1), "loss": nn.CrossEntropyLoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 3e-3), "batch_size": 25}
