"""The end token is also the padding id, and the loss ignores it: the model never learns to stop."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

BUG = {
    "id": 'end-ignored',
    "rule": 'end-ignored',
    "class": 'padding',
    "where": 'loss',
    "code": 'EOS = PAD',
    "static": False,
    "severity": 'warning',
    "keywords": ['eos', 'end', 'ignore_index', 'padding'],
}
FIX = [
    ('EOS = PAD', 'EOS = 2'),
]


PAD, BOS = 0, 1
EOS = PAD


class Lines(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.rows = []
        for _ in range(n):
            k = int(torch.randint(3, 14, (1,), generator=g))
            body = (torch.randint(0, 10, (1,), generator=g) + torch.arange(k)) % 10 + 3
            self.rows.append(torch.cat([torch.tensor([BOS]), body, torch.tensor([EOS])]))

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i][:-1], self.rows[i][1:]


def collate(rows):
    return tuple(pad_sequence([r[j] for r in rows], batch_first=True, padding_value=PAD) for j in (0, 1))


class LM(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(14, 24)
        self.gru = nn.GRU(24, 32, batch_first=True)
        self.fc = nn.Linear(32, 14)

    def forward(self, x):
        return self.fc(self.gru(self.emb(x))[0])


def loss(logits, target):
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD)


def build():
    return {"model": LM(), "train_set": Lines(500, 0), "val_set": Lines(100, 1), "collate": collate, "loss": loss,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 3e-3), "batch_size": 25}
