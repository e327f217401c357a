"""Attention by a comparison: the scores get no gradient."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "hard_attention",
    "rule": "gradient-cut",
    "class": "gradient-cut",
    "where": "Pick.score",
    "code": "(s == s.max(1, keepdim=True).values).float()",
    "static": True,
    "severity": "error",
    "keywords": ['gradient', 'differentiable', 'argmax', '==', 'comparison', 'score'],
    "also": ['score', 'Pick.forward'],
}
FIX = [
    ('(s == s.max(1, keepdim=True).values).float()', 'torch.softmax(s, 1)'),
]



class Pick(nn.Module):
    def __init__(self):
        super().__init__()
        self.score = nn.Linear(4, 1)
        self.value = nn.Linear(4, 8)
        self.out = nn.Linear(8, 1)

    def forward(self, x):
        s = self.score(x)
        w = (s == s.max(1, keepdim=True).values).float()
        return self.out((w * self.value(x)).sum(1).relu())


def make(n, seed):
    x = torch.randn(n, 5, 4, generator=torch.Generator().manual_seed(seed))
    best = x[..., 0].argmax(1)
    return TensorDataset(x, x[torch.arange(n), best, 1:2])


def build():
    return {"model": Pick(), "train_set": make(600, 0), "val_set": make(200, 1), "loss": nn.MSELoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=5e-3), "batch_size": 50}
