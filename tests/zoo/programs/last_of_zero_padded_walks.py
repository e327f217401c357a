"""Walks are padded with zeros by their data set, and the last position is read: for most of them that is padding."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    'id': 'last_of_zero_padded_walks',
    'class': 'padding-counts',
    'where': 'Walker.forward',
    'also': ['model: padding'],
    'code': 'states[:, -1]',
    'static': False,
    'severity': 'warning',
    'keywords': ['padding', 'padded', 'length'],
    'rule': 'padding-counts',
}
FIX = [
    ('states[:, -1]', 'states[torch.arange(len(steps)), lengths - 1]'),
]


class Walks(Dataset):
    def __init__(self, n, seed, longest=18):
        g = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(0, 3, (n,), generator=g)
        self.lengths = torch.randint(4, longest + 1, (n,), generator=g)
        self.steps = 0.7 * torch.randn(n, longest, 3, generator=g)
        self.steps[torch.arange(n), self.lengths - 1] += 2.5 * torch.eye(3)[self.labels]
        self.steps[torch.arange(longest) >= self.lengths[:, None]] = 0

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return (self.steps[index], self.lengths[index]), self.labels[index]


class Walker(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 24, batch_first=True)
        self.head = nn.Linear(24, 3)

    def forward(self, steps, lengths):
        states, _ = self.rnn(steps)
        return self.head(states[:, -1])


def build():
    return {
        "model": Walker(),
        "train_set": Walks(600, 0),
        "val_set": Walks(200, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 40,
        "epochs": 8,
    }
