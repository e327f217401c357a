"""The padding mask is broadcast over the keys: it masks the rows (queries) of the scores, not the columns (keys)."""

import math
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

BUG = {
    "id": 'mask-of-queries',
    "rule": 'mask-of-queries',
    "class": 'mask',
    "where": 'mask',
    "code": 'scores = scores.masked_fill(~mask[:, :, None], -1e9)',
    "static": False,
    "severity": 'error',
    "keywords": ['mask', 'padding', 'keys', 'queries'],
}
FIX = [
    ('mask[:, :, None], -1e9', 'mask[:, None, :], -1e9'),
]


def make(n, seed):
    g = torch.Generator().manual_seed(seed)
    out = []
    for _ in range(n):
        k = int(torch.randint(3, 20, (1,), generator=g))
        w = torch.randint(1, 15, (k,), generator=g)
        out.append((w, float((w > 7).float().mean())))
    return out


def collate(rows):
    return pad_sequence([w for w, _ in rows], batch_first=True), torch.tensor([[y] for _, y in rows])


class Attention(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.q, self.k, self.v = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d)

    def forward(self, x, mask):
        scores = self.q(x) @ self.k(x).transpose(1, 2) / math.sqrt(x.size(-1))
        scores = scores.masked_fill(~mask[:, :, None], -1e9)
        return scores.softmax(-1) @ self.v(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(15, 24)
        self.attn = Attention(24)
        self.out = nn.Linear(24, 1)

    def forward(self, ids):
        mask = ids != 0
        x = self.emb(ids)
        x = x + self.attn(x, mask)
        m = mask[:, :, None]
        return self.out((x * m).sum(1) / m.sum(1))


def build():
    return {"model": Net(), "train_set": make(500, 0), "val_set": make(100, 1), "collate": collate, "loss": nn.MSELoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 3e-3), "batch_size": 25}
