"""Correct: one table of embeddings for source, target and output, and a map of numbers by the order of a set."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None
WORDS = 20


def texts(n, seed):
    g = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, 400, (20,), generator=torch.Generator().manual_seed(3)).unique()[:16]
    number = {token: i + 1 for i, token in enumerate(set(tokens.tolist()))}
    source = tokens[torch.randint(0, len(tokens), (n, 6), generator=g)]
    source.apply_(lambda token: number[token])
    target = source.flip(1)
    before = torch.cat([torch.zeros(n, 1, dtype=torch.long), target[:, :-1]], 1)
    return TensorDataset(torch.cat([source, before], 1), target)


class Translator(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.source = nn.Embedding(WORDS, width)
        self.target = nn.Embedding(WORDS, width)
        self.target.weight = self.source.weight
        self.read = nn.GRU(width, width, batch_first=True)
        self.write = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, WORDS, bias=False)
        self.out.weight = self.source.weight

    def forward(self, both):
        source, before = both[:, :6], both[:, 6:]
        _, state = self.read(self.source(source))
        return self.out(self.write(self.target(before), state)[0]).transpose(1, 2)


def build():
    torch.manual_seed(0)
    return {
        "model": Translator(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "train_set": texts(512, 0),
        "val_set": texts(128, 1),
        "loss": nn.CrossEntropyLoss(),
        "batch_size": 32,
    }
