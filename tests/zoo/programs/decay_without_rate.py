"""Decoupled weight decay by hand, without the learning rate: a tenth of the weights goes at each step.
"""

import copy
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import TensorDataset

BUG = {
    'id': 'decay_without_rate',
    'class': 'weights-shrunk',
    'where': 'train_step',
    'also': ['mul_', 'decay'],
    'code': 'p.mul_(1 - WD)',
    'static': False,
    'severity': 'error',
    'keywords': ['decay', 'shrink', 'weights'],
    'rule': 'weights-shrunk',
}
FIX = [
    ('p.mul_(1 - WD)', 'p.mul_(1 - 1e-3 * WD)'),
]


def blobs(n, seed, d=10, k=3):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    c = torch.randn(k, d, generator=torch.Generator().manual_seed(3))
    return c[y] + torch.randn(n, d, generator=g), y

WD = 0.1

def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    value = loss(model(x), y)
    value.backward()
    optimizer.step()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1 - WD)
    return value.item()

def build():
    return {
        "model": nn.Sequential(nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 3)), "train_set": TensorDataset(*blobs(600, 0)), "val_set": TensorDataset(*blobs(200, 1)),
        "loss": nn.CrossEntropyLoss(), "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3), "train_step": train_step,
        "batch_size": 40, "epochs": 10,
    }
