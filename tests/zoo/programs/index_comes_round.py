"""The index is taken modulo 10: ten samples stand for all."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "index_comes_round",
    "rule": "few-distinct-samples",
    "class": "index-bug",
    "where": "train_set",
    "code": "self.x[i // self.repeat % 10]",
    "static": False,
    "severity": "error",
    "keywords": ['duplicate', 'same sample', 'identical', 'distinct', 'index'],
    "also": ['Repeated'],
}
FIX = [
    ('self.x[i // self.repeat % 10], self.y[i // self.repeat % 10]', 'self.x[i // self.repeat], self.y[i // self.repeat]'),
]



class Repeated(Dataset):
    def __init__(self, n, seed, repeat=1):
        g = torch.Generator().manual_seed(seed)
        self.repeat = repeat
        self.x = torch.randn(n, 5, generator=g)
        self.y = (self.x.sum(1) > 0).long()

    def __len__(self):
        return len(self.x) * self.repeat

    def __getitem__(self, i):
        return self.x[i // self.repeat % 10], self.y[i // self.repeat % 10]


class All(Repeated):
    def __getitem__(self, i):
        return self.x[i], self.y[i]


def build():
    return {"model": nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 2)), "train_set": Repeated(600, 0), "val_set": All(200, 1),
            "loss": nn.CrossEntropyLoss(), "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3), "batch_size": 50}
