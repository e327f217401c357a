"""uniform_ without bounds gives positive weights."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'weights-from-zero-to-one',
    "rule": 'init-too-large',
    "class": 'init-too-large',
    "where": 'reset',
    "code": 'nn.init.uniform_(p)',
    "static": False,
    "severity": 'error',
    "keywords": ['init', 'positive', 'uniform'],
}
FIX = [
    ('nn.init.uniform_(p)', 'nn.init.kaiming_uniform_(p)'),
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
        self.hidden = nn.Linear(12, 96)
        self.hidden2 = nn.Linear(96, 96)
        self.out = nn.Linear(96, 3)
        self.reset()

    def reset(self):
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.uniform_(p)

    def forward(self, x):
        return self.out(torch.relu(self.hidden2(torch.relu(self.hidden(x)))))


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
