"""Targets are padded with a class, and the loss counts them."""

import torch
from torch import nn

BUG = {
    "id": "loop409",
    "class": 'loss-on-padding',
    "where": 'loss',
    "code": 'nn.functional.cross_entropy(logits.flatten',
    "static": False,
    "severity": 'warning',
    "keywords": ['pad', 'ignore_index'],
    "rule": 'loss-on-padding',
}
FIX = [
    ('batch_first=True)\n\n\nclass', 'batch_first=True, padding_value=-100)\n\n\nclass'),
]


def series(n, seed):
    g = torch.Generator().manual_seed(seed)
    sizes = torch.randint(3, 11, (n,), generator=g).tolist()
    rows = [torch.randint(1, 12, (size,), generator=g) for size in sizes]
    return [(row, (row > 6).long()) for row in rows]


def collate(samples):
    rows = [row for row, _ in samples]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True), nn.utils.rnn.pad_sequence([y for _, y in samples], batch_first=True)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(12, 24)
        self.head = nn.Linear(24, 2)

    def forward(self, tokens):
        h = self.embed(tokens)
        h = torch.relu(h)
        return self.head(h)


def loss(logits, target):
    return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())


def build():
    return {
        "model": Net(),
        "train_set": series(400, 0),
        "val_set": series(200, 1),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "collate": collate,
    }
