"""A copy of the model is evaluated that was taken when the evaluator was made, and never again."""

import copy

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = {
    "id": 'seven-c26',
    "class": 'evaluates-other-model',
    "where": 'Evaluator',
    "code": 'self.model = copy.deepcopy(model)',
    "static": False,
    "severity": 'error',
    "keywords": ['copy', 'stale', 'same model', 'does not depend', 'ignores', 'argument'],
    "rule": 'evaluates-other-model',
}
FIX = [
    ('hits += (self.model(x)', 'hits += (model(x)'),
]


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Evaluator:
    def __init__(self, model):
        self.model = copy.deepcopy(model)
        self.model.eval()

    @torch.no_grad()
    def __call__(self, model, val_set):
        hits = 0
        for x, y in DataLoader(val_set, batch_size=100):
            hits += (self.model(x).argmax(1) == y).sum().item()
        return hits / len(val_set)


def build():
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    evaluator = Evaluator(model)
    return {
        "model": model,
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "evaluate": evaluator.__call__,
    }
