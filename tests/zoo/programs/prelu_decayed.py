"""Weight decay on the slope of PReLU."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'prelu-decayed',
    "rule": 'decayed-slopes',
    "class": 'decayed-slopes',
    "where": 'PReLU',
    "code": 'nn.PReLU()',
    "static": False,
    "severity": 'info',
    "keywords": ['PReLU', 'weight decay', 'weight_decay'],
}
FIX = [
    ('weight_decay=0.1', 'weight_decay=0.0'),
]


def clinic(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 12, generator=g)
    w = torch.randn(12, 3, generator=torch.Generator().manual_seed(99))
    y = (torch.tanh(x @ w) + 0.5 * x[:, :3] * x[:, 3:6] + 0.3 * torch.randn(n, 3, generator=g)).argmax(1)
    return TensorDataset(x, y)


TRAIN, VAL, LOSS = clinic(480, 0), clinic(200, 1), nn.CrossEntropyLoss()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(12, 64), nn.PReLU(), nn.Linear(64, 3))

    def forward(self, x):
        return self.net(x)


def build():
    return {
        "model": Net(),
        "train_set": TRAIN,
        "val_set": VAL,
        "loss": LOSS,
        "make_optimizer": lambda model: torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.1),
        "batch_size": 32,
        "epochs": 8,
    }
