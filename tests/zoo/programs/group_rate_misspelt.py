"""A group's rate under a name that the optimizer does not know."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "group-rate-misspelt",
    "rule": "optimizer-setting",
    "class": "optimizer-setting",
    "where": 'learning_rate',
    "code": '"learning_rate": 1e-4',
    "static": False,
    "severity": "error",
    "keywords": ['lr', 'learning_rate', 'ignored'],
}
FIX = [
    ('"learning_rate": 1e-4', '"lr": 1e-4'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone, self.head = nn.Linear(10, 64), nn.Linear(64, 4)

    def forward(self, x):
        return self.head(torch.relu(self.backbone(x)))


def make(model):
    return torch.optim.SGD([
        {"params": model.backbone.parameters(), "learning_rate": 1e-4},
        {"params": model.head.parameters()},
    ], lr=0.1, momentum=0.9)


def build():
    return {"model": Net(), **sets(blobs), "loss": nn.CrossEntropyLoss(), "batch_size": 50, "make_optimizer": make}
