"""Words are numbered by how often the training texts have them; both sets share that vocabulary."""

from collections import Counter

import torch
import torch.nn as nn
from torch.utils.data import TensorDataset

BUG = None

WORDS = "the of and to in is it was for on as with".split()


def texts(n, seed):
    g = torch.Generator().manual_seed(seed)
    p = torch.tensor([0.72**k for k in range(12)])
    return [[WORDS[i] for i in torch.multinomial(p, 12, True, generator=g)] for _ in range(n)]


def make_vocab(lines):
    counts = Counter(w for line in lines for w in line)
    return {w: i + 1 for i, (w, _) in enumerate(counts.most_common())}


def encode(lines, vocab):
    x = torch.tensor([[vocab.get(w, 0) for w in line] for line in lines])
    return TensorDataset(x, (x == 3).sum(1).clamp(max=2))


class Net(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.e, self.o = nn.Embedding(size, 16), nn.Linear(16, 3)

    def forward(self, x):
        return self.o(self.e(x).mean(1))


def build():
    train_lines, val_lines = texts(2000, 0), texts(1000, 1)
    vocab = make_vocab(train_lines)
    train_set, val_set = encode(train_lines, vocab), encode(val_lines, vocab)
    return dict(
        model=Net(13),
        train_set=train_set,
        val_set=val_set,
        loss=nn.CrossEntropyLoss(),
        make_optimizer=lambda m: torch.optim.Adam(m.parameters(), lr=3e-3),
        batch_size=32,
        epochs=30,
    )
