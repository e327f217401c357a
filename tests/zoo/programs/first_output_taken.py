"""out[:, 0] (as with BERT's CLS) of a unidirectional LSTM: only the first step was read."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'steps-unread',
    "rule": 'steps-unread',
    "class": 'position',
    "where": 'forward',
    "code": 'return self.head(out[:, 0])',
    "static": False,
    "severity": 'error',
    "keywords": ['first step', 'first position', 'only', 'last', 'never read', 'rest of the sequence'],
}
FIX = [
    ('out[:, 0]', 'out[:, -1]'),
]


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 20, (n, 12), generator=g)
    return TensorDataset(x, (x >= 10).float().mean(1).gt(0.5).long())


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(20, 16)
        self.lstm = nn.LSTM(16, 32, batch_first=True)
        self.head = nn.Linear(32, 2)

    def forward(self, x):
        out, _ = self.lstm(self.emb(x))
        return self.head(out[:, 0])


def build():
    return {"model": Net(), "train_set": data(600, 0), "val_set": data(100, 1), "loss": nn.CrossEntropyLoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 3e-3), "batch_size": 30}
