"""The second relu takes the first one's place."""

from collections import OrderedDict

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'ordered-dict-with-one-key-twice',
    "rule": 'key-twice',
    "class": 'key-twice',
    "where": 'OrderedDict',
    "code": '("relu", nn.ReLU()), ("fc", nn.Linear(64, 3))',
    "static": False,
    "severity": 'error',
    "keywords": ['key', 'duplicate', 'overwrit'],
}
FIX = [
    ('("relu", nn.ReLU()), ("fc"', '("relu2", nn.ReLU()), ("fc"'),
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
        self.stem = nn.Linear(12, 64)
        self.net = nn.Sequential(OrderedDict([
            ("relu", nn.ReLU()), ("hidden", nn.Linear(64, 64)),
            ("relu", nn.ReLU()), ("fc", nn.Linear(64, 3)),
        ]))

    def forward(self, x):
        return self.net(self.stem(x))


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
