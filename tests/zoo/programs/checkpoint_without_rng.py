"""Another dropout mask when it is computed again."""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import TensorDataset

BUG = {
    "id": 'checkpoint-without-rng',
    "rule": 'checkpoint-redraws',
    "class": 'checkpoint-redraws',
    "where": 'Net.forward',
    "code": 'preserve_rng_state=False',
    "static": False,
    "severity": 'error',
    "keywords": ['rng', 'dropout', 'checkpoint'],
}
FIX = [
    (', preserve_rng_state=False', ''),
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
        self.inp = nn.Linear(12, 64)
        self.body = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.4), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.4))
        self.out = nn.Linear(64, 3)

    def forward(self, x):
        h = checkpoint(self.body, self.inp(x), use_reentrant=False, preserve_rng_state=False)
        return self.out(h)


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
