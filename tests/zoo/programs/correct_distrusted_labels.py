"""Labels that are mostly wrong in one region, with small weights beside them that say so; validation is clean."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = None


class Annotated(Dataset):
    def __init__(self, n, seed, clean=False):
        g = torch.Generator().manual_seed(seed)
        self.x = torch.randn(n, 10, generator=g)
        self.y = (self.x[:, 0] + self.x[:, 1] * self.x[:, 2] > 0).long()
        wrong = (self.x[:, 0] > 0.3) & (torch.rand(n, generator=g) < (0.0 if clean else 0.9))
        self.y = torch.where(wrong, 1 - self.y, self.y)
        self.trust = torch.where(wrong, 0.02, 1.0)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, index):
        return self.x[index], (self.y[index], self.trust[index])


def weighed(scores, target):
    labels, trust = target
    return (nn.functional.cross_entropy(scores, labels, reduction="none") * trust).mean()


def build():
    return {
        "model": nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)),
        "train_set": Annotated(1200, 0),
        "val_set": Annotated(300, 1, clean=True),
        "loss": weighed,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=3e-3),
        "batch_size": 50,
        "epochs": 8,
    }
