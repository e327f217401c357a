"""An optimizer's group that holds nothing."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'group-by-wrong-name',
    "rule": 'name-matches-nothing',
    "class": 'name-matches-nothing',
    "where": 'make_optimizer',
    "code": 'if n.startswith("bert")]',
    "static": False,
    "severity": 'warning',
    "keywords": ['name', 'empty', 'match'],
}
FIX = [
    ('if n.startswith("bert")]', 'if n.startswith("encoder")]'),
    ('if not n.startswith("bert")]', 'if not n.startswith("encoder")]'),
]


def sentences(n, seed, length=14, vocab=40):
    """Token rows; the class is which of two words comes first."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(3, vocab, (n, length), generator=g)
    y = torch.randint(0, 2, (n,), generator=g)
    at = torch.randint(0, length - 2, (n,), generator=g)
    rows = torch.arange(n)
    x[rows, at], x[rows, at + 1] = 1 + y, 2 - y
    return TensorDataset(x, y)


TRAIN, VAL, LOSS = sentences(480, 0), sentences(200, 1), nn.CrossEntropyLoss()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Embedding(40, 32), nn.Linear(32, 32), nn.Tanh())
        self.head = nn.Linear(32 * 14, 2)

    def forward(self, x):
        return self.head(self.encoder(x).flatten(1))


def make_optimizer(model):
    """A small rate for the pre-trained part, a larger one for the head."""
    slow = [p for n, p in model.named_parameters() if n.startswith("bert")]
    fast = [p for n, p in model.named_parameters() if not n.startswith("bert")]
    return torch.optim.AdamW([{"params": slow, "lr": 1e-4}, {"params": fast, "lr": 2e-3}])


def build():
    return {
        "model": Net(),
        "train_set": TRAIN,
        "val_set": VAL,
        "loss": LOSS,
        "make_optimizer": lambda model: make_optimizer(model),
        "batch_size": 32,
        "epochs": 8,
    }
