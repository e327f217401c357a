"""Training texts are lower-cased before they are looked up, validation texts are not: most words are unknown."""

import random
import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": 'words-unknown',
    "rule": 'words-unknown',
    "class": 'split',
    "where": 'val_set',
    "code": '"val_set": Mails(150, 1, vocab, lower=False)',
    "static": False,
    "severity": 'error',
    "keywords": ['unknown', 'differ', 'distribution', 'lower', 'unk', 'other', 'token'],
}
FIX = [
    ('vocab, lower=False', 'vocab'),
]


A, B = "Win Cash Prize Free Offer".split(), "Meeting Report Lunch Project Team".split()
REST = "The We You Have To In At On And".split()


class Mails(Dataset):
    def __init__(self, n, seed, vocab=None, lower=True):
        r = random.Random(seed)
        self.rows = []
        for _ in range(n):
            y = r.randrange(2)
            words = [r.choice(REST + (A if y else B)) for _ in range(9)]
            self.rows.append(([w.lower() for w in words] if lower else words, y))
        if vocab is None:
            vocab = {w: i + 1 for i, w in enumerate(sorted({w for ws, _ in self.rows for w in ws}))}
        self.vocab = vocab

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        words, y = self.rows[i]
        return torch.tensor([self.vocab.get(w, 0) for w in words]), float(y)


class Net(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.emb = nn.EmbeddingBag(size, 8)
        self.fc = nn.Linear(8, 1)

    def forward(self, x):
        return self.fc(self.emb(x)).squeeze(-1)


def bce(out, y):
    return nn.functional.binary_cross_entropy_with_logits(out, y.float())


def build():
    train = Mails(500, 0)
    vocab = train.vocab
    return {"model": Net(len(vocab) + 1), "train_set": train, "val_set": Mails(150, 1, vocab, lower=False), "loss": bce,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 1e-2), "batch_size": 25}
