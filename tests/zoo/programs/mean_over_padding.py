"""The mean over time counts the padding."""

import torch
from torch import nn

BUG = {
    "id": "loop408",
    "class": 'padding-counts',
    "where": 'padding',
    "code": 'h = h.mean(1)',
    "static": False,
    "severity": 'warning',
    "keywords": ['pad', 'mask'],
    "rule": 'padding-counts',
}
FIX = [
    ('h = h.mean(1)', 'seen = (tokens > 0)[..., None]\n        h = (h * seen).sum(1) / seen.sum(1)'),
]


def series(n, seed):
    g = torch.Generator().manual_seed(seed)
    sizes = torch.randint(3, 11, (n,), generator=g).tolist()
    rows = [torch.randint(1, 12, (size,), generator=g) for size in sizes]
    return [(row, int((row > 6).float().mean() > 0.5)) for row in rows]


def collate(samples):
    rows = [row for row, _ in samples]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True), torch.tensor([y for _, y in samples])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(12, 24)
        self.head = nn.Linear(24, 2)

    def forward(self, tokens):
        h = self.embed(tokens)
        h = h.mean(1)
        return self.head(h)


def build():
    return {
        "model": Net(),
        "train_set": series(400, 0),
        "val_set": series(200, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "collate": collate,
    }
