"""Correct: heads of an attention by view and transpose, (T, B * H, D) as in fairseq, with B equal to D.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def sequences(n, seed, t=12, f=4):
    """Sequences of 12 steps whose class is told by one of them."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 2, (n,), generator=g)
    x = torch.randn(n, t, f, generator=g) * 0.5
    x[:, 3, 0] += (y * 2 - 1) * 2.0
    return x, y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.q, self.k, self.v = nn.Linear(4, 64), nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 64)
        self.head = nn.Linear(64, 2)

    def forward(self, x):
        h = self.stem(x).transpose(0, 1)
        t, b, e = h.shape
        q, k, v = (f(h).contiguous().view(t, b * 4, 16).transpose(0, 1) for f in (self.q, self.k, self.v))
        weights = torch.softmax(torch.bmm(q, k.transpose(1, 2)) / 4, dim=-1)
        out = torch.bmm(weights, v).transpose(0, 1).contiguous().view(t, b, e)
        return self.head(out[3])


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*sequences(600, 0)),
        "val_set": TensorDataset(*sequences(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 16,
    }
