"""Each turn of the loop overwrites the layer."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'layer-overwritten-in-loop',
    "rule": 'layer-overwritten',
    "class": 'layer-overwritten',
    "where": 'self.block',
    "code": 'self.block = nn.Linear(width, width)',
    "static": False,
    "severity": 'warning',
    "keywords": ['overwrit', 'last', 'loop'],
}
FIX = [
    ('        for i in range(depth):\n            self.block = nn.Linear(width, width)\n', '        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))\n'),
    ('        for i in range(self.depth):\n            x = F.relu(self.block(x))', '        for block in self.blocks:\n            x = F.relu(block(x))'),
]


def clinic(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 12, generator=g)
    w = torch.randn(12, 3, generator=torch.Generator().manual_seed(99))
    y = (torch.tanh(x @ w) + 0.5 * x[:, :3] * x[:, 3:6] + 0.3 * torch.randn(n, 3, generator=g)).argmax(1)
    return TensorDataset(x, y)


TRAIN, VAL, LOSS = clinic(480, 0), clinic(200, 1), nn.CrossEntropyLoss()

class Net(nn.Module):
    def __init__(self, width=64, depth=4):
        super().__init__()
        self.depth = depth
        self.inp = nn.Linear(12, width)
        for i in range(depth):
            self.block = nn.Linear(width, width)
        self.out = nn.Linear(width, 3)

    def forward(self, x):
        x = F.relu(self.inp(x))
        for i in range(self.depth):
            x = F.relu(self.block(x))
        return self.out(x)


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
