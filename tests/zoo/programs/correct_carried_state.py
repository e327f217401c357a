"""Correct: truncated back-propagation over parallel streams in order: the state goes on, detached."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = None


class CharLstm(nn.Module):
    """Truncated back-propagation: the state goes on from batch to batch, detached."""

    def __init__(self, v=12, d=32):
        super().__init__()
        self.embed = nn.Embedding(v, d)
        self.rnn = nn.LSTM(d, d, batch_first=True)
        self.head = nn.Linear(d, v)
        self.state = None

    def reset(self):
        self.state = None

    def forward(self, tokens):
        state = self.state
        if state is not None and state[0].shape[1] != len(tokens):
            state = None
        y, (h, c) = self.rnn(self.embed(tokens), state)
        self.state = (h.detach(), c.detach())
        return self.head(y)


class Streams(Dataset):
    """Twenty parallel streams, cut into windows; sample b + 20 * w is window w of stream b."""

    def __init__(self, windows, seed, streams=20, t=8):
        g = torch.Generator().manual_seed(seed)
        steps = torch.randint(1, 3, (streams, windows * t + 1), generator=g)
        self.text, self.streams, self.t, self.windows = steps.cumsum(1) % 12, streams, t, windows

    def __len__(self):
        return self.streams * self.windows

    def __getitem__(self, i):
        w, b = divmod(i, self.streams)
        part = self.text[b, w * self.t : (w + 1) * self.t + 1]
        return part[:-1], part[1:]


def loss(logits, target):
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())


def build():
    return {
        "model": CharLstm(),
        "train_set": Streams(30, 0),
        "val_set": Streams(8, 1),
        "loss": loss,
        "shuffle": False,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3),
        "batch_size": 20,
    }
