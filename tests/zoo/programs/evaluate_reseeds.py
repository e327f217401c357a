"""evaluate seeds the global generator to draw its subset; every epoch after it shuffles and drops out alike."""

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

BUG = {
    "id": 'seven-c25',
    "class": 'evaluation-seeds',
    "where": 'evaluate',
    "code": 'torch.manual_seed(1234)',
    "static": False,
    "severity": 'warning',
    "keywords": ['seed', 'manual_seed', 'generator', 'every epoch', 'same'],
    "rule": 'evaluation-seeds',
}
FIX = [
    ('    torch.manual_seed(1234)\n', '    g = torch.Generator().manual_seed(1234)\n'),
    ('torch.randperm(len(val_set))', 'torch.randperm(len(val_set), generator=g)'),
]


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


@torch.no_grad()
def evaluate(model, val_set):
    torch.manual_seed(1234)
    subset = Subset(val_set, torch.randperm(len(val_set))[:200].tolist())
    model.eval()
    right = 0
    for x, y in DataLoader(subset, batch_size=100):
        right += (model(x).argmax(1) == y).sum().item()
    model.train()
    return right / len(subset)


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 4)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "evaluate": evaluate,
    }
