"""Stateful LSTM idiom copied from a Keras tutorial: the hidden state survives from one shuffled batch to the next."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": 'state-carried',
    "rule": 'state-carried',
    "class": 'state',
    "where": 'hidden',
    "code": 'self.hidden = (h.detach(), c.detach())',
    "static": False,
    "severity": 'error',
    "keywords": ['hidden state', 'carried', 'shuffle', 'previous batch', 'stateful'],
}
FIX = [
    ('        self.hidden = (h.detach(), c.detach())\n', ''),
]


class Sines(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        f = torch.rand(n, 1, generator=g) * 0.5 + 0.2
        p = torch.rand(n, 1, generator=g) * 6.28
        t = torch.arange(21.0)
        s = torch.sin(f * t + p) + 0.05 * torch.randn(n, 21, generator=g)
        self.x, self.y = s[:, :-1, None], s[:, -1:]

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


class Forecaster(nn.Module):
    def __init__(self, hidden_size=32):
        super().__init__()
        self.hidden_size = hidden_size
        self.lstm = nn.LSTM(1, hidden_size, batch_first=True)
        self.out = nn.Linear(hidden_size, 1)
        self.hidden = None

    def init_hidden(self, n):
        return torch.zeros(1, n, self.hidden_size), torch.zeros(1, n, self.hidden_size)

    def forward(self, x):
        if self.hidden is None or self.hidden[0].shape[1] != len(x):
            self.hidden = self.init_hidden(len(x))
        out, (h, c) = self.lstm(x, self.hidden)
        self.hidden = (h.detach(), c.detach())
        return self.out(out[:, -1])


def build():
    return {
        "model": Forecaster(),
        "train_set": Sines(640, 0),
        "val_set": Sines(128, 1),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 5e-3),
        "batch_size": 64,
    }
