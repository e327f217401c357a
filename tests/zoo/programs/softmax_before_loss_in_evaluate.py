"""The validation loss applies cross entropy to probabilities."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = {
    "id": 'seven-c35',
    "class": 'softmax-in-evaluation',
    "where": 'evaluate',
    "code": 'probs = torch.softmax(model(x), dim=1)',
    "static": False,
    "severity": 'error',
    "keywords": ['softmax', 'probabilit', 'logits', 'twice'],
    "rule": 'softmax-in-evaluation',
}
FIX = [
    ('probs = torch.softmax(model(x), dim=1)', 'probs = model(x)'),
]


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


@torch.no_grad()
def evaluate(model, val_set):
    model.eval()
    total = 0.0
    for x, y in DataLoader(val_set, batch_size=64):
        probs = torch.softmax(model(x), dim=1)
        total += F.cross_entropy(probs, y, reduction="sum").item()
    model.train()
    return total / len(val_set)


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
