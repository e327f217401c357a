"""Correct: masked tokens are to be guessed from both sides."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = None



class Masked(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.t = torch.randint(1, 12, (n, 8), generator=g)
        self.hidden = torch.rand(n, 8, generator=g) < 0.3
        self.hidden[:, 0] = True

    def __len__(self):
        return len(self.t)

    def __getitem__(self, i):
        return self.t[i].masked_fill(self.hidden[i], 0), self.t[i].masked_fill(~self.hidden[i], -100)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(12, 24)
        self.rnn = nn.GRU(24, 24, batch_first=True, bidirectional=True)
        self.head = nn.Linear(48, 12)

    def forward(self, tokens):
        return self.head(self.rnn(self.embed(tokens))[0])


def loss(logits, target):
    return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())


def build():
    return {
        "model": Net(),
        "train_set": Masked(400, 0),
        "val_set": Masked(200, 1),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
