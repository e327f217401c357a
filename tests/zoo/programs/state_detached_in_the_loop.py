"""The hidden state is detached in every time step: nothing learns from earlier steps."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'state-cut-each-step',
    "rule": 'state-cut-each-step',
    "class": 'gradient',
    "where": 'forward',
    "code": 'h = self.cell(x[:, t], h.detach())',
    "static": False,
    "severity": 'error',
    "keywords": ['detach', 'gradient', 'time', 'earlier'],
}
FIX = [
    ('h.detach())', 'h)'),
]


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 12, 3, generator=g)
    return TensorDataset(x, x[:, :4, 0].sum(1, keepdim=True))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 32)
        self.fc = nn.Linear(32, 1)

    def forward(self, x):
        h = torch.zeros(x.shape[0], 32)
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h.detach())
        return self.fc(h)


def build():
    return {"model": Net(), "train_set": data(500, 0), "val_set": data(100, 1), "loss": nn.MSELoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 3e-3), "batch_size": 25}
