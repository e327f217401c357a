"""The sequences are packed, but the last column of the padded output is taken (not the last real step)."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

BUG = {
    "id": 'padding-counts',
    "rule": 'padding-counts',
    "class": 'padding',
    "where": 'forward',
    "code": 'return self.fc(out[:, -1])',
    "static": False,
    "severity": 'error',
    "keywords": ['padding', 'padded', 'last'],
}
FIX = [
    ('self.fc(out[:, -1])', 'self.fc(h[-1])'),
]


def make(n, seed):
    g = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(n):
        k = int(torch.randint(3, 25, (1,), generator=g))
        x = torch.randn(k, 3, generator=g)
        rows.append((x, float(x[:, 0].mean() > 0)))
    return rows


def collate(rows):
    return (pad_sequence([x for x, _ in rows], batch_first=True), torch.tensor([len(x) for x, _ in rows])), torch.tensor([[y] for _, y in rows])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 24, batch_first=True)
        self.fc = nn.Linear(24, 1)

    def forward(self, x, lengths):
        out, h = self.gru(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
        out, _ = pad_packed_sequence(out, batch_first=True)
        return self.fc(out[:, -1])


def build():
    return {"model": Net(), "train_set": make(500, 0), "val_set": make(100, 1), "collate": collate, "loss": nn.BCEWithLogitsLoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 3e-3), "batch_size": 25}
