"""The tokenizer pads with 1 and the loss ignores 0, which is a real tag."""

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

BUG = {
    "id": 'loss-on-padding',
    "rule": 'loss-on-padding',
    "class": 'padding',
    "where": 'loss',
    "code": 'LOSS = nn.CrossEntropyLoss(ignore_index=0)',
    "static": False,
    "severity": 'error',
    "keywords": ['ignore_index', 'padding', 'ignored'],
}
FIX = [
    ('ignore_index=0', 'ignore_index=PAD'),
]


PAD = 1
LOSS = nn.CrossEntropyLoss(ignore_index=0)


def corpus(n, seed):
    g = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(n):
        k = int(torch.randint(3, 15, (1,), generator=g))
        w = torch.randint(2, 30, (k,), generator=g)
        tags = w % 4
        rows.append((w, torch.where(tags > 0, tags + 1, 0)))
    return rows


def collate(rows):
    return tuple(pad_sequence([r[j] for r in rows], batch_first=True, padding_value=PAD) for j in range(2))


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(30, 24, padding_idx=PAD)
        self.conv = nn.Conv1d(24, 32, 3, padding=1)
        self.fc = nn.Conv1d(32, 5, 1)

    def forward(self, w):
        return self.fc(self.conv(self.emb(w).transpose(1, 2)).relu())


def build():
    return {"model": Tagger(), "train_set": corpus(500, 0), "val_set": corpus(100, 1), "collate": collate, "loss": LOSS,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 3e-3), "batch_size": 25}
