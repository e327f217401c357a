"""Oversampling: one weight per class is given where one per sample is wanted, so that only the first four samples are drawn."""

import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

BUG = {
    "id": 'seven-c15',
    "class": 'few-distinct-samples',
    "where": 'Balanced',
    "code": 'self.indices = torch.multinomial(weights, n, replacement=True)',
    "static": False,
    "severity": 'error',
    "keywords": ['weight', 'sample', 'distinct', 'repeat', 'duplicate', 'same'],
    "rule": 'few-distinct-samples',
}
FIX = [
    ('torch.multinomial(weights, n, replacement=True)', 'torch.multinomial(weights[self.y], n, replacement=True)'),
]


def skewed(n, seed):
    centres = torch.randn(4, 16, generator=torch.Generator().manual_seed(7))
    g = torch.Generator().manual_seed(seed)
    y = torch.multinomial(torch.tensor([0.5, 0.25, 0.15, 0.1]), n, replacement=True, generator=g)
    return centres[y] + torch.randn(n, 16, generator=g), y


class Balanced(Dataset):
    def __init__(self, n, seed):
        self.x, self.y = skewed(n, seed)
        weights = 1.0 / torch.bincount(self.y).float()
        self.indices = torch.multinomial(weights, n, replacement=True)

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, i):
        j = self.indices[i]
        return self.x[j], self.y[j]


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": Balanced(600, 0),
        "val_set": TensorDataset(*skewed(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
