"""Correct: BERT's masking: 80 % mask, 10 % random, 10 % kept; labels only there."""
import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None
MASK = 15


def tokens(n, seed):
    g = torch.Generator().manual_seed(seed)
    start, step = torch.randint(0, 15, (n, 1), generator=g), torch.randint(1, 4, (n, 1), generator=g)
    return TensorDataset((start + step * torch.arange(10)) % 15)


def collate(rows):
    ids = torch.stack([r[0] for r in rows])
    chosen = torch.rand(ids.shape) < 0.2
    chosen[:, 4] = True
    how = torch.rand(ids.shape)
    x = ids.masked_fill(chosen & (how < 0.8), MASK)
    x = torch.where(chosen & (how > 0.9), torch.randint(0, 15, ids.shape), x)
    return x, ids.masked_fill(~chosen, -100)


class Bert(nn.Module):
    def __init__(self):
        super().__init__()
        self.tok = nn.Embedding(16, 32)
        self.pos = nn.Parameter(torch.randn(10, 32) * 0.02)
        self.enc = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.out = nn.Linear(32, 15)

    def forward(self, x):
        return self.out(self.enc(self.tok(x) + self.pos)).transpose(1, 2)


def build():
    return {"model": Bert(), "train_set": tokens(600, 0), "val_set": tokens(100, 1), "collate": collate, "loss": nn.CrossEntropyLoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 1e-3), "batch_size": 30}
