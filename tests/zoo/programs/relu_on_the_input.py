"""Half of the inputs are cut off at the door."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'relu-on-the-input',
    "rule": 'relu-on-input',
    "class": 'relu-on-input',
    "where": 'Net.forward',
    "code": 'x = F.relu(x)  # first',
    "static": False,
    "severity": 'warning',
    "keywords": ['relu', 'negative', 'input'],
}
FIX = [
    ('        x = F.relu(x)  # first\n', ''),
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

    def forward(self, x):
        x = F.relu(x)  # first
        x = F.relu(self.fc1(x))
        return self.fc2(x)


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
