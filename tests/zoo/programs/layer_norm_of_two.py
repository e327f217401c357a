"""A norm over two values leaves their order alone."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'layer-norm-of-two',
    "rule": 'norm-of-few',
    "class": 'norm-of-few',
    "where": 'LayerNorm',
    "code": 'nn.LayerNorm(2)',
    "static": False,
    "severity": 'warning',
    "keywords": ['LayerNorm', 'two', '2'],
}
FIX = [
    ('nn.Linear(64, 2), nn.LayerNorm(2)', 'nn.LayerNorm(64), nn.Linear(64, 2)'),
]


def clinic(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 12, generator=g)
    w = torch.randn(12, 3, generator=torch.Generator().manual_seed(99))
    y = (torch.tanh(x @ w) + 0.5 * x[:, :3] * x[:, 3:6] + 0.3 * torch.randn(n, 3, generator=g)).argmax(1)
    return TensorDataset(x, y)


TRAIN, VAL, LOSS = clinic(480, 0), clinic(200, 1), nn.CrossEntropyLoss()

class Net(nn.Module):
    """Projects to the plane for plotting, and classifies there."""

    def __init__(self):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 2), nn.LayerNorm(2))
        self.decode = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 3))

    def forward(self, x):
        return self.decode(self.encode(x))


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
