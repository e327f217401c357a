"""Correct: teacher forcing whose shift stands in the decoder: it reads the token before the one that it tells."""
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(1, 10, (n, 6), generator=g)
    y = x.flip(1)
    return [((x[i], y[i]), y[i]) for i in range(n)]


class Seq2Seq(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(10, 24)
        self.enc = nn.GRU(24, 32, batch_first=True)
        self.cell = nn.GRUCell(24, 32)
        self.out = nn.Linear(32, 10)

    def forward(self, x, y):
        _, h = self.enc(self.emb(x))
        return self.decode(h[0], y)

    def decode(self, h, y):
        logits = []
        for t in range(y.size(1)):
            step = self.emb(y[:, t - 1] if t else torch.zeros_like(y[:, 0]))
            h = self.cell(step, h)
            logits.append(self.out(h))
        return torch.stack(logits, 1)


def build():
    return {"model": Seq2Seq(), "train_set": data(500, 0), "val_set": data(100, 1), "loss": lambda o, t: F.cross_entropy(o.transpose(1, 2), t),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 3e-3), "batch_size": 25}

