"""A tied embedding as nn.Embedding starts it."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'tied-embedding-with-std-one',
    "rule": 'init-too-large',
    "class": 'init-too-large',
    "where": 'embed',
    "code": 'self.embed = nn.Embedding(vocab, dim)',
    "static": False,
    "severity": 'warning',
    "keywords": ['init', 'std', 'embedding'],
}
FIX = [
    ('self.embed = nn.Embedding(vocab, dim)\n', 'self.embed = nn.Embedding(vocab, dim)\n        nn.init.normal_(self.embed.weight, std=0.02)\n'),
]


def text(n, seed, length=17, vocab=60):
    g = torch.Generator().manual_seed(seed)
    rows = [torch.randint(0, vocab, (n,), generator=g)]
    for _ in range(length - 1):
        step = torch.randint(1, 4, (n,), generator=g)
        rows.append((rows[-1] + step) % vocab)
    x = torch.stack(rows, 1)
    return TensorDataset(x[:, :-1], x[:, 1:])


def lm_loss(logits, target):
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())


TRAIN, VAL, LOSS = text(400, 0), text(160, 1), lm_loss

class GPT(nn.Module):
    """Tied language model."""

    def __init__(self, vocab=60, dim=64):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.rnn = nn.GRU(dim, dim, batch_first=True)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, vocab, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        h, _ = self.rnn(self.embed(tokens))
        return self.head(self.norm(h))


def build():
    return {
        "model": GPT(),
        "train_set": TRAIN,
        "val_set": VAL,
        "loss": LOSS,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=2e-3),
        "batch_size": 32,
        "epochs": 8,
    }
