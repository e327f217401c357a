"""A recurrent layer after a convolution, without a transpose."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'gru-over-channels',
    "rule": 'sequence-along-channels',
    "class": 'sequence-along-channels',
    "where": 'Net.forward',
    "code": '_, h = self.gru(c)',
    "static": False,
    "severity": 'error',
    "keywords": ['transpose', 'permute', 'channel'],
}
FIX = [
    ('self.gru(c)', 'self.gru(c.transpose(1, 2))'),
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
    """Convolutions, then a recurrent layer over time."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(2, 24, 5, padding=2)
        self.gru = nn.GRU(24, 32, batch_first=True)
        self.head = nn.Linear(32, 3)

    def forward(self, x):
        c = F.relu(self.conv(x.transpose(1, 2)))
        _, h = self.gru(c)
        return self.head(h[-1])


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
