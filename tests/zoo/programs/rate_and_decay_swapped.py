"""Rate and weight decay are given in the wrong order."""

import torch
from torch import nn, optim
from torch.utils.data import TensorDataset

BUG = {
    "id": "rate_and_decay_swapped",
    "rule": "learning-rate-too-small",
    "class": "hyperparameters",
    "where": "optimizer",
    "code": "optim.SGD(net.parameters(), DECAY, 0.9, weight_decay=RATE)",
    "static": False,
    "severity": "error",
    "keywords": ['lr', 'learning rate', 'weight decay', 'weight_decay', 'small'],
}
FIX = [
    ('optim.SGD(net.parameters(), DECAY, 0.9, weight_decay=RATE)', 'optim.SGD(net.parameters(), RATE, 0.9, weight_decay=DECAY)'),
]

RATE, DECAY = 0.1, 1e-6


def optimiser(net):
    return optim.SGD(net.parameters(), DECAY, 0.9, weight_decay=RATE)


def make(n, seed):
    x = torch.randn(n, 12, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, (x[:, :4].prod(1) > 0).long())


def build():
    return {"model": nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 2)), "train_set": make(800, 0), "val_set": make(200, 1),
            "loss": nn.CrossEntropyLoss(), "make_optimizer": optimiser, "batch_size": 50}
