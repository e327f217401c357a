"""zip stops at the shorter list of layers."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'zip-of-layers-stops-early',
    "rule": 'layer-never-run',
    "class": 'layer-never-run',
    "where": 'Net.convs',
    "code": 'for conv, norm in zip(self.convs, self.norms):',
    "static": False,
    "severity": 'warning',
    "keywords": ['never', 'unused', 'zip'],
}
FIX = [
    ('for b in widths[1:-1])', 'for b in widths[1:])'),
    ('16 * 16, 4', '16 * 4, 4'),
]


def shapes(n, seed):
    """Noisy pictures with a bright patch whose corner tells the class."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 4, (n,), generator=g)
    x = torch.randn(n, 1, 16, 16, generator=g)
    for i, k in enumerate(y.tolist()):
        r, c = 8 * (k // 2) + 2, 8 * (k % 2) + 2
        x[i, 0, r : r + 4, c : c + 4] += 1.5
    return TensorDataset(x, y)


TRAIN, VAL, LOSS = shapes(320, 0), shapes(160, 1), nn.CrossEntropyLoss()

class Net(nn.Module):
    def __init__(self, widths=(1, 16, 16, 16)):
        super().__init__()
        pairs = list(zip(widths, widths[1:]))
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for b in widths[1:-1])
        self.head = nn.Linear(16 * 16, 4)

    def forward(self, x):
        for conv, norm in zip(self.convs, self.norms):
            x = F.max_pool2d(F.relu(norm(conv(x))), 2)
        return self.head(x.flatten(1))


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
