"""The vocabulary enumerates a set of strings: its order differs from run to run."""

import random
import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": 'order-of-hashes',
    "rule": 'order-of-hashes',
    "class": 'vocab',
    "where": 'VOCAB',
    "code": 'return {w: i for i, w in enumerate(set(words))}',
    "static": True,
    "severity": 'warning',
    "keywords": ['set', 'order', 'hash', 'run'],
}
FIX = [
    ('enumerate(set(words))', 'enumerate(sorted(set(words)))'),
]


WORDS = [f"word{i}" for i in range(60)]


def build_vocab(words):
    return {w: i for i, w in enumerate(set(words))}


VOCAB = build_vocab(WORDS)


class Docs(Dataset):
    def __init__(self, n, seed):
        r = random.Random(seed)
        self.docs = []
        for _ in range(n):
            y = r.randrange(2)
            self.docs.append(([r.choice(WORDS[:40] if y else WORDS[20:]) for _ in range(12)], y))

    def __len__(self):
        return len(self.docs)

    def __getitem__(self, i):
        words, y = self.docs[i]
        return torch.tensor([VOCAB[w] for w in words]), y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag = nn.EmbeddingBag(len(VOCAB), 16)
        self.fc = nn.Linear(16, 2)

    def forward(self, ids):
        return self.fc(self.bag(ids))


def build():
    return {"model": Net(), "train_set": Docs(500, 0), "val_set": Docs(100, 1), "loss": nn.CrossEntropyLoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 1e-2), "batch_size": 25}
