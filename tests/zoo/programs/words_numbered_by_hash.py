"""Words are numbered with Python's hash(), which is salted per process: a saved model meets other ids after a restart."""

import random
import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": 'order-of-hashes',
    "rule": 'order-of-hashes',
    "class": 'vocab',
    "where": 'tokenize',
    "code": 'return [hash(w) % BUCKETS for w in text.split()]',
    "static": True,
    "severity": 'warning',
    "keywords": ['hash', 'PYTHONHASHSEED', 'process', 'random', 'salted'],
}
FIX = [
    ('hash(w)', 'sum(map(ord, w))'),
]


BUCKETS = 512
WORDS = [f"word{i}" for i in range(60)]


def tokenize(text):
    return [hash(w) % BUCKETS for w in text.split()]


class Docs(Dataset):
    def __init__(self, n, seed):
        r = random.Random(seed)
        self.docs = []
        for _ in range(n):
            y = r.randrange(2)
            self.docs.append((" ".join(r.choice(WORDS[:40] if y else WORDS[20:]) for _ in range(12)), y))

    def __len__(self):
        return len(self.docs)

    def __getitem__(self, i):
        text, y = self.docs[i]
        return torch.tensor(tokenize(text)), y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag = nn.EmbeddingBag(BUCKETS, 16)
        self.fc = nn.Linear(16, 2)

    def forward(self, ids):
        return self.fc(self.bag(ids))


def build():
    return {"model": Net(), "train_set": Docs(500, 0), "val_set": Docs(100, 1), "loss": nn.CrossEntropyLoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 1e-2), "batch_size": 25}
