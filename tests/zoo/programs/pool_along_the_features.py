"""A pool over what a recurrent layer gives, without a transpose."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'pool-along-the-features',
    "rule": 'pool-along-features',
    "class": 'pool-along-features',
    "where": 'pool',
    "code": 'self.pool = nn.AdaptiveMaxPool1d(1)',
    "static": False,
    "severity": 'warning',
    "keywords": ['pool', 'feature', 'time'],
}
FIX = [
    ('self.pool(out)', 'self.pool(out.transpose(1, 2))'),
    ('nn.Linear(24, 3)', 'nn.Linear(32, 3)'),
]


def waves(n, seed, length=24):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=g)
    t = torch.arange(length).float()
    phase = 6.28 * torch.rand(n, 1, generator=g)
    x = torch.sin(t * (0.3 + 0.25 * y[:, None]) + phase) + 0.3 * torch.randn(n, length, generator=g)
    return TensorDataset(torch.stack([x, x.roll(1, 1) - x], 2), y)


TRAIN, VAL, LOSS = waves(400, 0), waves(160, 1), nn.CrossEntropyLoss()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 32, batch_first=True)
        self.pool = nn.AdaptiveMaxPool1d(1)
        self.head = nn.Linear(24, 3)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.head(self.pool(out).squeeze(-1))


def build():
    return {
        "model": Net(),
        "train_set": TRAIN,
        "val_set": VAL,
        "loss": LOSS,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=2e-3),
        "batch_size": 32,
        "epochs": 8,
    }
