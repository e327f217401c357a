"""The decoder of a translator reads the very word that it is to say."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "teacher_forcing_not_shifted",
    "rule": "target-not-shifted",
    "class": "target-not-shifted",
    "where": 'target',
    "code": 'return (x, y[1:])',
    "static": False,
    "severity": "error",
    "keywords": ['shift'],
}
FIX = [
    ('(x, y[1:]), y[1:]', '(x, y[:-1]), y[1:]'),
]


def gen(s):
    return torch.Generator().manual_seed(s)



class Net(nn.Module):
    def __init__(self, v=14, d=32):
        super().__init__()
        self.emb = nn.Embedding(v, d)
        self.enc, self.dec = nn.GRU(d, d, batch_first=True), nn.GRU(d, d, batch_first=True)
        self.head = nn.Linear(d, v)

    def forward(self, source, answer):
        _, state = self.enc(self.emb(source))
        out, _ = self.dec(self.emb(answer), state)
        return self.head(out)


class Reversed(Dataset):
    def __init__(self, n, seed):
        self.x = torch.randint(2, 14, (n, 8), generator=gen(seed))

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        x = self.x[i]
        y = torch.cat([torch.tensor([1]), x.flip(0), torch.tensor([0])])
        return (x, y[1:]), y[1:]


def loss(logits, target):
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())

def build():
    return {
        "model": Net(),
        "train_set": Reversed(160, 0),
        "val_set": Reversed(64, 1),
        "loss": loss,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
        "batch_size": 32,
    }
