"""The mask token of a masked language model is id 0, which is also a real word."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'mask-is-a-token',
    "rule": 'mask-is-a-token',
    "class": 'mlm',
    "where": 'mask',
    "code": 'MASK = 0',
    "static": False,
    "severity": 'warning',
    "keywords": ['mask token', 'real', 'mask', 'vocab'],
}
FIX = [
    ('MASK = 0', 'MASK = 15'),
]


MASK = 0


def tokens(n, seed):
    g = torch.Generator().manual_seed(seed)
    start, step = torch.randint(0, 15, (n, 1), generator=g), torch.randint(1, 4, (n, 1), generator=g)
    return TensorDataset((start + step * torch.arange(10)) % 15)


def collate(rows):
    ids = torch.stack([r[0] for r in rows])
    hide = torch.rand(ids.shape) < 0.15
    hide[:, 4] = True
    return ids.masked_fill(hide, MASK), ids.masked_fill(~hide, -100)


class Bert(nn.Module):
    def __init__(self):
        super().__init__()
        self.tok = nn.Embedding(16, 32)
        self.pos = nn.Parameter(torch.zeros(10, 32))
        self.enc = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.out = nn.Linear(32, 16)

    def forward(self, x):
        return self.out(self.enc(self.tok(x) + self.pos)).transpose(1, 2)


def build():
    return {"model": Bert(), "train_set": tokens(600, 0), "val_set": tokens(100, 1), "collate": collate, "loss": nn.CrossEntropyLoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 1e-3), "batch_size": 30}
