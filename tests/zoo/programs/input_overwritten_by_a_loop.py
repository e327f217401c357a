"""The loop's variable takes the input's name."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'input-overwritten-by-a-loop',
    "rule": 'input-overwritten',
    "class": 'input-overwritten',
    "where": 'Net.forward',
    "code": 'for x in self.branches:',
    "static": False,
    "severity": 'error',
    "keywords": ['overwrit', 'input', 'loop'],
}
FIX = [
    ('for x in self.branches:', 'for branch in self.branches:'),
    ('F.relu(x(self.start.expand(n, -1)))', 'F.relu(branch(x + self.start))'),
]


def clinic(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 12, generator=g)
    w = torch.randn(12, 3, generator=torch.Generator().manual_seed(99))
    y = (torch.tanh(x @ w) + 0.5 * x[:, :3] * x[:, 3:6] + 0.3 * torch.randn(n, 3, generator=g)).argmax(1)
    return TensorDataset(x, y)


TRAIN, VAL, LOSS = clinic(480, 0), clinic(200, 1), nn.CrossEntropyLoss()

class Net(nn.Module):
    """The sum of branches."""

    def __init__(self):
        super().__init__()
        self.branches = nn.ModuleList(nn.Linear(12, 32) for _ in range(3))
        self.out = nn.Linear(32, 3)
        self.start = nn.Parameter(torch.randn(1, 12))

    def forward(self, x):
        n, total = len(x), 0
        for x in self.branches:
            total = total + F.relu(x(self.start.expand(n, -1)))
        return self.out(total)


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
