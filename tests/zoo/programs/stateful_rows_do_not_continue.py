"""The state is carried on purpose and shuffle is off, but row i of the next batch does not continue row i of this one."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": 'state-carried',
    "rule": 'state-carried',
    "class": 'state',
    "where": 'state',
    "code": 'self.state = h.detach()',
    "static": False,
    "severity": 'warning',
    "keywords": ['state', 'continue', 'carried', 'stateful', 'order'],
}
FIX = [
    ('        self.state = h.detach()\n', ''),
]


class Text(Dataset):
    def __init__(self, n, seed, length=12):
        g = torch.Generator().manual_seed(seed)
        self.text, self.length = torch.randint(1, 3, (n * length + 1,), generator=g).cumsum(0) % 11, length

    def __len__(self):
        return (len(self.text) - 1) // self.length

    def __getitem__(self, i):
        part = self.text[i * self.length : (i + 1) * self.length + 1]
        return part[:-1], part[1:]


class CharRNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(11, 16)
        self.gru = nn.GRU(16, 32, batch_first=True)
        self.out = nn.Linear(32, 11)
        self.state = None

    def forward(self, x):
        if self.state is not None and self.state.size(1) != x.size(0):
            self.state = None
        out, h = self.gru(self.emb(x), self.state)
        self.state = h.detach()
        return self.out(out)


def build():
    return {"model": CharRNN(), "train_set": Text(400, 0), "val_set": Text(60, 1), "shuffle": False, "batch_size": 20,
            "loss": lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten()),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 3e-3)}
