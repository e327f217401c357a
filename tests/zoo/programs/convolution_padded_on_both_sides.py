"""A causal model by convolution, padded on both sides."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "loop405",
    "class": 'sees-future',
    "where": 'conv',
    "code": 'padding=1',
    "static": False,
    "severity": 'error',
    "keywords": ['causal', 'future', 'pad'],
    "rule": 'sees-future',
}
FIX = [
    ('padding=1', 'padding=2'),
    ('self.embed(tokens).transpose(1, 2))', 'self.embed(tokens).transpose(1, 2))[..., :-2]'),
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
        self.conv = nn.Conv1d(24, 24, 3, padding=1)
        self.head = nn.Linear(24, 12)

    def forward(self, tokens):
        h = self.conv(self.embed(tokens).transpose(1, 2))
        return self.head(torch.relu(h).transpose(1, 2))


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
