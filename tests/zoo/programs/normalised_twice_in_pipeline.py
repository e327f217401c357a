"""One step of the pipeline stands in it twice."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "normalised_twice_in_pipeline",
    "rule": "normalised-twice",
    "class": "normalised-twice",
    "where": "train_set",
    "code": "pipeline = compose(to_unit, normalise, normalise)",
    "static": False,
    "severity": "warning",
    "keywords": ['twice', 'normal', 'range', 'mean'],
    "also": ['normalise', 'input'],
}
FIX = [
    ('compose(to_unit, normalise, normalise)', 'compose(to_unit, normalise)'),
]

MEAN, STD = 0.13, 0.31


def to_unit(x):
    return x.float() / 255


def normalise(x):
    return (x - MEAN) / STD


def compose(*steps):
    def run(x):
        for step in steps:
            x = step(x)
        return x
    return run


pipeline = compose(to_unit, normalise, normalise)


class Digits(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.y = torch.randint(10, (n,), generator=g)
        proto = (torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(3)) > 0.85) * 200
        self.x = (proto[self.y] + torch.randint(0, 40, (n, 1, 8, 8), generator=g) * (torch.rand(n, 1, 8, 8, generator=g) > 0.8)).to(torch.uint8)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return pipeline(self.x[i]), self.y[i]


def build():
    return {"model": nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10)), "train_set": Digits(600, 0), "val_set": Digits(200, 1),
            "loss": nn.CrossEntropyLoss(), "make_optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.05), "batch_size": 50}
