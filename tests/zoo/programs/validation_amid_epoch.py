"""Every few steps the trainer validates and leaves the network in evaluation mode for the rest of the epoch.

Reported: wkentaro/pytorch-fcn#56 and #57, open-mmlab/mmaction2#1781, joeynmt/joeynmt#184.
"""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = {
    "id": "trains-in-eval",
    "class": "trains-in-eval",
    "rule": "trains-in-eval",
    "where": "Trainer.validate: eval",
    "also": ["train_step", "Trainer", "validate", "Trainer.train_step"],
    "code": "network.eval()",
    "static": True,
    "severity": "error",
    "keywords": ["eval", "train()", "mode", "dropout", "batch norm", "batchnorm"],
}
FIX = [
    ('        self.history.append(correct / len(self.val_set))\n', '        self.history.append(correct / len(self.val_set))\n        network.train()\n'),
]


def genes(n, seed, d=60, informative=12, classes=3):
    means = torch.zeros(classes, d)
    means[:, :informative] = torch.randn(classes, informative, generator=torch.Generator().manual_seed(4))
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, classes, (n,), generator=g)
    return means[y] + 1.2 * torch.randn(n, d, generator=g), y


class Trainer:
    def __init__(self, val_set, every=3):
        self.val_set = val_set
        self.every = every
        self.steps = 0
        self.history = []

    @torch.no_grad()
    def validate(self, network):
        network.eval()
        correct = 0
        for x, y in DataLoader(self.val_set, batch_size=100):
            correct += (network(x).argmax(1) == y).sum().item()
        self.history.append(correct / len(self.val_set))

    def train_step(self, network, batch, criterion, optimizer):
        x, y = batch
        optimizer.zero_grad()
        value = criterion(network(x), y)
        value.backward()
        optimizer.step()
        self.steps += 1
        if self.steps % self.every == 0:
            self.validate(network)
        return value


def network():
    return nn.Sequential(
        nn.Linear(60, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(128, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(64, 3),
    )


def build():
    val_set = TensorDataset(*genes(200, 1))
    return {
        "model": network(),
        "train_set": TensorDataset(*genes(400, 0)),
        "val_set": val_set,
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=2e-3),
        "train_step": Trainer(val_set).train_step,
        "batch_size": 40,
        "epochs": 8,
    }
