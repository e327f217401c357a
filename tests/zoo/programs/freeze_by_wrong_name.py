"""It is called backbone, not encoder."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'freeze-by-wrong-name',
    "rule": 'name-matches-nothing',
    "class": 'name-matches-nothing',
    "where": 'freeze',
    "code": 'if name.startswith("encoder"):',
    "static": False,
    "severity": 'warning',
    "keywords": ['freeze', 'frozen', 'name'],
}
FIX = [
    ('startswith("encoder")', 'startswith("backbone")'),
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
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.ReLU())
        self.head = nn.Linear(256, 4)

    def forward(self, x):
        return self.head(self.backbone(x).flatten(1))


def freeze(model):
    """Train the head alone."""
    for name, p in model.named_parameters():
        if name.startswith("encoder"):
            p.requires_grad = False
    return model


def build():
    return {
        "model": freeze(Net()),
        "train_set": TRAIN,
        "val_set": VAL,
        "loss": LOSS,
        "make_optimizer": lambda model: torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=2e-3),
        "batch_size": 32,
        "epochs": 8,
    }
