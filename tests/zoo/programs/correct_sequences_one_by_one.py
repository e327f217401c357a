"""Correct: sequences of several lengths are encoded one by one."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = None


class Docs(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.items = []
        for _ in range(n):
            y = int(torch.randint(0, 2, (1,), generator=g))
            length = int(torch.randint(3, 6, (1,), generator=g))
            self.items.append((torch.randn(length, 6, generator=g) + (2 * y - 1) * 0.7, y))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def collate(items):
    lengths = torch.tensor([len(x) for x, _ in items])
    return (
        nn.utils.rnn.pad_sequence([x for x, _ in items], batch_first=True),
        lengths,
        torch.tensor([y for _, y in items]),
    )


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(6, 16, batch_first=True)
        self.head = nn.Linear(16, 2)

    def forward(self, x, lengths):
        states = []
        for doc, length in zip(x, lengths.tolist()):
            _, h = self.gru(doc[:length].unsqueeze(0))
            states.append(h[-1, 0])
        return self.head(torch.stack(states))


def build():
    return {
        "model": Net(),
        "train_set": Docs(160, 0),
        "val_set": Docs(100, 1),
        "collate": collate,
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
        "batch_size": 6,
    }
