"""Correct: denoising as in BART: the encoder reads masked tokens, the decoder the text, and it predicts all of it."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

BUG = None
MASK, START, WORDS, SIZE = 1, 0, 30, 14


class Noised(Dataset):
    def __init__(self, n, seed, fixed=False):
        g = torch.Generator().manual_seed(seed)
        first = torch.randint(0, WORDS - 2, (n, 1), generator=g)
        step = torch.randint(1, 4, (n, 1), generator=g)
        self.text = 2 + (first + step * torch.arange(SIZE)) % (WORDS - 2)
        self.fixed = torch.rand(n, SIZE, generator=g) if fixed else None

    def __len__(self):
        return len(self.text)

    def __getitem__(self, i):
        text = self.text[i]
        noised = text.masked_fill((torch.rand(SIZE) if self.fixed is None else self.fixed[i]) < 0.3, MASK)
        shifted = torch.cat([torch.tensor([START]), text[:-1]])
        return (noised, shifted), text


class Model(nn.Module):
    def __init__(self, d=32):
        super().__init__()
        self.words = nn.Embedding(WORDS, d)
        self.places = nn.Parameter(0.02 * torch.randn(SIZE, d))
        self.net = nn.Transformer(d, 2, 1, 1, 64, dropout=0.1, batch_first=True)
        self.head = nn.Linear(d, WORDS)

    def forward(self, noised, shifted):
        causal = nn.Transformer.generate_square_subsequent_mask(SIZE)
        states = self.net(
            self.words(noised) + self.places, self.words(shifted) + self.places, tgt_mask=causal, tgt_is_causal=True
        )
        return self.head(states)


def loss(logits, text):
    return F.cross_entropy(logits.flatten(0, 1), text.flatten())


def build():
    return {
        "model": Model(),
        "train_set": Noised(400, 0),
        "val_set": Noised(100, 1, fixed=True),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.AdamW(model.parameters(), lr=1e-3),
        "batch_size": 32,
    }
