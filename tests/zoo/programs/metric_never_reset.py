"""A running accuracy whose counts are never reset: every evaluation includes all the earlier ones."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = {
    "id": 'seven-c06',
    "class": 'evaluation-remembers',
    "where": 'evaluate',
    "code": 'METER = Accuracy()',
    "static": False,
    "severity": 'error',
    "keywords": ['reset', 'accumul', 'earlier', 'epoch', 'state'],
    "rule": 'evaluation-remembers',
}
FIX = [
    ('    model.eval()\n', '    model.eval()\n    METER.reset()\n'),
]


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Accuracy:
    def __init__(self):
        self.reset()

    def reset(self):
        self.correct, self.total = 0, 0

    def update(self, preds, labels):
        self.correct += (preds == labels).sum().item()
        self.total += labels.numel()

    def compute(self):
        return self.correct / self.total


METER = Accuracy()


@torch.no_grad()
def evaluate(model, val_set):
    model.eval()
    for x, y in DataLoader(val_set, batch_size=64):
        METER.update(model(x).argmax(1), y)
    model.train()
    return METER.compute()


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "evaluate": evaluate,
    }
