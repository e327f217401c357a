"""Members that start and stay equal."""

import copy

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'ensemble-of-deep-copies',
    "rule": 'equal-members',
    "class": 'equal-members',
    "where": 'Ensemble',
    "code": 'copy.deepcopy(member) for _ in range(size)',
    "static": False,
    "severity": 'warning',
    "keywords": ['same', 'identical', 'copy'],
}
FIX = [
    ('copy.deepcopy(member) for _', 'mlp() for _'),
]


def clinic(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 12, generator=g)
    w = torch.randn(12, 3, generator=torch.Generator().manual_seed(99))
    y = (torch.tanh(x @ w) + 0.5 * x[:, :3] * x[:, 3:6] + 0.3 * torch.randn(n, 3, generator=g)).argmax(1)
    return TensorDataset(x, y)


TRAIN, VAL, LOSS = clinic(480, 0), clinic(200, 1), nn.CrossEntropyLoss()

def mlp():
    return nn.Sequential(nn.Linear(12, 48), nn.ReLU(), nn.Linear(48, 3))


class Ensemble(nn.Module):
    """The mean of several networks that should disagree."""

    def __init__(self, size=4):
        super().__init__()
        member = mlp()
        self.members = nn.ModuleList(copy.deepcopy(member) for _ in range(size))

    def forward(self, x):
        return torch.stack([member(x) for member in self.members]).mean(0)


def build():
    return {
        "model": Ensemble(),
        "train_set": TRAIN,
        "val_set": VAL,
        "loss": LOSS,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=2e-3),
        "batch_size": 32,
        "epochs": 8,
    }
