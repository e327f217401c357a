"""Correct: puzzles whose colours are permuted at random in collate, as an augmentation: what counts is who is alike."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None
COLOURS = 9


def puzzles(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(0, COLOURS, (n, 4), generator=g)
    same = torch.rand(n, generator=g) < 0.5
    x[:, 3] = torch.where(same, x[:, 0], x[:, 3])
    return TensorDataset(x, (x[:, 3] == x[:, 0]).long())


def collate(items):
    x, y = (torch.stack(part) for part in zip(*items, strict=True))
    return torch.stack([torch.randperm(COLOURS)[row] for row in x]), y


class Puzzler(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(COLOURS, 16)
        self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))

    def forward(self, x):
        return self.net(self.embed(x).flatten(1))


def build():
    torch.manual_seed(0)
    return {
        "model": Puzzler(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "train_set": puzzles(600, 0),
        "val_set": puzzles(200, 1),
        "collate": collate,
        "loss": nn.CrossEntropyLoss(),
        "batch_size": 32,
    }
