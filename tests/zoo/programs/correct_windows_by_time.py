"""Correct: overlapping windows of a text, split in their order."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


g = torch.Generator().manual_seed(0)
corpus = torch.randint(0, 40, (6000,), generator=g)
corpus[1::2] = (corpus[::2] + 1) % 40
chunks = corpus.unfold(0, 33, 8)
train, val = chunks[:600], chunks[605:]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(40, 16)
        self.rnn = nn.GRU(16, 32, batch_first=True)
        self.head = nn.Linear(32, 40)

    def forward(self, x):
        return self.head(self.rnn(self.embed(x))[0])


def loss(output, target):
    return nn.functional.cross_entropy(output.flatten(0, 1), target.flatten())


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(train[:, :-1], train[:, 1:]),
        "val_set": TensorDataset(val[:, :-1], val[:, 1:]),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
