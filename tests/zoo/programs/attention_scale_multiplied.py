"""Scores are multiplied by sqrt(d) where they should be divided by it: the softmax picks one key."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'attention-not-scaled',
    "rule": 'attention-not-scaled',
    "class": 'attention',
    "where": 'forward',
    "code": 'scores = q @ k.transpose(-2, -1) * self.d ** 0.5',
    "static": False,
    "severity": 'warning',
    "keywords": ['scale', 'sqrt', 'saturat', 'divide'],
}
FIX = [
    ('* self.d ** 0.5', '/ self.d ** 0.5'),
]


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 12, 16, generator=g)
    return TensorDataset(x, x[:, :, 0].max(1, keepdim=True)[0])


class SelfAttention(nn.Module):
    def __init__(self, d=64):
        super().__init__()
        self.d = d
        self.inp = nn.Linear(16, d)
        self.qkv = nn.Linear(d, 3 * d)
        self.norm = nn.LayerNorm(d)
        self.out = nn.Linear(d, 1)

    def forward(self, x):
        h = self.norm(self.inp(x))
        q, k, v = self.qkv(h).chunk(3, -1)
        scores = q @ k.transpose(-2, -1) * self.d ** 0.5
        h = h + scores.softmax(-1) @ v
        return self.out(h.mean(1))


def build():
    return {"model": SelfAttention(), "train_set": data(500, 0), "val_set": data(100, 1), "loss": nn.MSELoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 1e-3), "batch_size": 25}
