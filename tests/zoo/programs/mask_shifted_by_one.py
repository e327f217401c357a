"""A causal mask that lets each position see the next one."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "loop406",
    "class": 'sees-future',
    "where": 'mask',
    "code": 'torch.ones(8, 8).tril(1)',
    "static": False,
    "severity": 'error',
    "keywords": ['mask', 'causal', 'future'],
    "rule": 'sees-future',
}
FIX = [
    ('tril(1)', 'tril()'),
]


class Tokens(Dataset):
    def __init__(self, n, seed):
        self.t = torch.randint(0, 12, (n, 9), generator=torch.Generator().manual_seed(seed)).cumsum(1) % 12

    def __len__(self):
        return len(self.t)

    def __getitem__(self, i):
        return self.t[i, :-1], self.t[i, 1:]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(12, 24)
        self.position = nn.Parameter(torch.randn(8, 24) * 0.5)
        self.q, self.k, self.v = nn.Linear(24, 24), nn.Linear(24, 24), nn.Linear(24, 24)
        self.head = nn.Linear(24, 12)

    def forward(self, tokens):
        h = self.embed(tokens) + self.position
        scores = self.q(h) @ self.k(h).transpose(1, 2) / 24**0.5
        mask = torch.ones(8, 8).tril(1)
        scores = scores.masked_fill(mask == 0, -1e9)
        return self.head(h + scores.softmax(-1) @ self.v(h))


def loss(logits, target):
    return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())


def build():
    return {
        "model": Net(),
        "train_set": Tokens(400, 0),
        "val_set": Tokens(200, 1),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
