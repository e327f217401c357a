"""A causal mask of 0 and 1 is added to the scores of an attention."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "mask-of-ones-added",
    "rule": "mask-added",
    "class": "mask-added",
    "where": 'Causal.forward',
    "code": 'scores + torch.ones',
    "static": False,
    "severity": "error",
    "keywords": ['mask', 'masked'],
}
FIX = [
    ('scores = scores + torch.ones(t, t).triu(1)', 'scores = scores.masked_fill(torch.ones(t, t).triu(1) == 1, float("-inf"))'),
]


def texts(n, seed, length=12, words=16):
    g = torch.Generator().manual_seed(seed)
    step = torch.randint(1, 4, (n, 1), generator=g)
    ids = (torch.randint(0, words, (n, 1), generator=g) + step * torch.arange(length + 1)) % words
    return ids[:, :-1], ids[:, 1:]


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


class Causal(nn.Module):
    def __init__(self, words=16, d=32):
        super().__init__()
        self.embed = nn.Embedding(words, d)
        self.place = nn.Parameter(0.02 * torch.randn(12, d))
        self.qkv = nn.Linear(d, 3 * d)
        self.head = nn.Linear(d, words)

    def forward(self, ids):
        x = self.embed(ids) + self.place
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        t = ids.size(1)
        scores = q @ k.transpose(-2, -1) / 32**0.5
        scores = scores + torch.ones(t, t).triu(1)
        return self.head(x + scores.softmax(-1) @ v).transpose(1, 2)


def build():
    return {
        "model": Causal(),
        **sets(texts),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 32,
    }
