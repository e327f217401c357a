"""Operator precedence: ``count + 1 % 4`` is ``count + 1``; the optimizer never steps.
"""

import copy
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import TensorDataset

BUG = {
    'id': 'step_by_wrong_precedence',
    'class': 'step-missing',
    'where': 'train_step',
    'also': ['step', 'count'],
    'code': 'if train_step.count + 1 % 4 == 0:',
    'static': False,
    'severity': 'error',
    'keywords': ['step', 'never', 'precedence', 'condition'],
    'rule': 'step-missing',
}
FIX = [
    ('train_step.count + 1 % 4 == 0', '(train_step.count + 1) % 4 == 0'),
]


def blobs(n, seed, d=10, k=3):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    c = torch.randn(k, d, generator=torch.Generator().manual_seed(3))
    return c[y] + torch.randn(n, d, generator=g), y

def train_step(model, batch, loss, optimizer):
    x, y = batch
    value = loss(model(x), y) / 4
    value.backward()
    if train_step.count + 1 % 4 == 0:
        optimizer.step()
        optimizer.zero_grad()
    train_step.count += 1
    return value.item()

train_step.count = 0

def build():
    return {
        "model": nn.Sequential(nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 3)), "train_set": TensorDataset(*blobs(600, 0)), "val_set": TensorDataset(*blobs(200, 1)),
        "loss": nn.CrossEntropyLoss(), "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3), "train_step": train_step,
        "batch_size": 40, "epochs": 10,
    }
