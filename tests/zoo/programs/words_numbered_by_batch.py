"""The collate function numbers words anew in every batch."""

import random
import torch
from torch import nn

BUG = {
    "id": 'numbered-by-batch',
    "rule": 'numbered-by-batch',
    "class": 'vocab',
    "where": 'collate',
    "code": 'vocab = {w: i for i, w in enumerate(dict.fromkeys(w for ws, _ in rows for w in ws))}',
    "static": False,
    "severity": 'error',
    "keywords": ['vocab', 'batch', 'differ', 'mapping', 'ids'],
}
FIX = [
    ('enumerate(dict.fromkeys(w for ws, _ in rows for w in ws))', 'enumerate(GOOD + BAD + REST)'),
]


GOOD, BAD, REST = "good nice fine".split(), "bad sad dull".split(), "the a of it was".split()


def texts(n, seed):
    r = random.Random(seed)
    rows = []
    for _ in range(n):
        y = r.randrange(2)
        rows.append(([r.choice(REST + (GOOD if y else BAD)) for _ in range(8)], y))
    return rows


def collate(rows):
    vocab = {w: i for i, w in enumerate(dict.fromkeys(w for ws, _ in rows for w in ws))}
    return torch.tensor([[vocab[w] for w in ws] for ws, _ in rows]), torch.tensor([y for _, y in rows])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.EmbeddingBag(20, 16)
        self.fc = nn.Linear(16, 2)

    def forward(self, x):
        return self.fc(self.emb(x))


def build():
    return {"model": Net(), "train_set": texts(500, 0), "val_set": texts(100, 1), "collate": collate, "loss": nn.CrossEntropyLoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 1e-2), "batch_size": 25}
