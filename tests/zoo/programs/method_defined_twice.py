"""The second definition of a method overwrites the first."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'method-defined-twice',
    "rule": 'method-twice',
    "class": 'method-twice',
    "where": 'Net.hidden',
    "code": 'def hidden(self, x):  # for the plots',
    "static": False,
    "severity": 'warning',
    "keywords": ['twice', 'overwrites'],
}
FIX = [
    ('def hidden(self, x):  # for the plots', 'def plotted(self, x):  # for the plots'),
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
        self.fc1 = nn.Linear(12, 64)
        self.fc2 = nn.Linear(64, 3)

    def hidden(self, x):
        return F.relu(self.fc1(x))

    def forward(self, x):
        return self.fc2(self.hidden(x))

    def hidden(self, x):  # for the plots
        return torch.tanh(self.fc1(x))


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
