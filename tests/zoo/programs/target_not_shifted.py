"""The target of a language model is its input."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "loop402",
    "class": 'target-not-shifted',
    "where": 'train_set',
    "code": 'return self.t[i, :-1]',
    "static": False,
    "severity": 'error',
    "keywords": ['shift'],
    "rule": 'target-not-shifted',
}
FIX = [
    ('self.t[i, :-1], self.t[i, :-1]', 'self.t[i, :-1], self.t[i, 1:]'),
]


class Tokens(Dataset):
    def __init__(self, n, seed):
        self.t = torch.randint(0, 12, (n, 9), generator=torch.Generator().manual_seed(seed)).cumsum(1) % 12

    def __len__(self):
        return len(self.t)

    def __getitem__(self, i):
        return self.t[i, :-1], self.t[i, :-1]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(12, 24)
        self.rnn = nn.GRU(24, 24, batch_first=True)
        self.head = nn.Linear(24, 12)

    def forward(self, tokens):
        return self.head(self.rnn(self.embed(tokens))[0])


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
