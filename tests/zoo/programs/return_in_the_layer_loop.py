"""The first layer, and out."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'return-in-the-layer-loop',
    "rule": 'layer-never-run',
    "class": 'layer-never-run',
    "where": 'Net.forward',
    "code": '            return self.head(x)',
    "static": False,
    "severity": 'error',
    "keywords": ['return', 'never', 'loop'],
}
FIX = [
    ('            return self.head(x)', '        return self.head(x)'),
]


def clinic(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 12, generator=g)
    w = torch.randn(12, 3, generator=torch.Generator().manual_seed(99))
    y = (torch.tanh(x @ w) + 0.5 * x[:, :3] * x[:, 3:6] + 0.3 * torch.randn(n, 3, generator=g)).argmax(1)
    return TensorDataset(x, y)


TRAIN, VAL, LOSS = clinic(480, 0), clinic(200, 1), nn.CrossEntropyLoss()

class Net(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.stem = nn.Linear(12, width)
        self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(3)])
        self.head = nn.Linear(width, 3)

    def forward(self, x):
        x = F.relu(self.stem(x))
        for layer in self.layers:
            x = F.relu(layer(x))
            return self.head(x)


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
