"""The collate function sorts the inputs by length, and not the targets."""

import torch
from torch import nn

BUG = {
    "id": "loop313",
    "class": 'collate-misaligns',
    "where": 'collate',
    "code": 'def collate',
    "static": False,
    "severity": 'error',
    "keywords": ['order', 'target'],
    "rule": 'collate-misaligns',
}
FIX = [
    ('rows = sorted((row for row, _ in samples), key=len, reverse=True)', 'rows = [row for row, _ in samples]'),
]


def series(n, seed):
    g = torch.Generator().manual_seed(seed)
    sizes = torch.randint(3, 9, (n,), generator=g).tolist()
    rows = [torch.randn(size, generator=g) + (size > 5) for size in sizes]
    return [(row, int(row.mean() > 0.5)) for row in rows]


def collate(samples):
    rows = sorted((row for row, _ in samples), key=len, reverse=True)
    return torch.stack([nn.functional.pad(row, (0, 8 - len(row))) for row in rows]), torch.tensor([y for _, y in samples])


def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2)),
        "train_set": series(400, 0),
        "val_set": series(200, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "collate": collate,
    }
