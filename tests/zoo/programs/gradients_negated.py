"""A leftover of a gradient reversal experiment: all gradients change sign before the step.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'gradients_negated',
    'class': 'climbs-the-loss',
    'where': 'train_step',
    'also': ['grad'],
    'code': 'p.grad.mul_(-1)',
    'static': False,
    'severity': 'error',
    'keywords': ['sign', 'negated', 'ascent', 'reverse', 'climb'],
    'rule': 'climbs-the-loss',
}
FIX = [
    ('    for p in model.parameters():\n        p.grad.mul_(-1)\n', ''),
]


def blobs(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=g)
    c = torch.randn(3, 10, generator=torch.Generator().manual_seed(3))
    return c[y] + torch.randn(n, 10, generator=g), y

def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    value = loss(model(x), y)
    value.backward()
    for p in model.parameters():
        p.grad.mul_(-1)
    optimizer.step()
    return value.item()

def build():
    return {
        "model": nn.Sequential(nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 3)),
        "train_set": TensorDataset(*blobs(600, 0)), "val_set": TensorDataset(*blobs(200, 1)),
        "loss": nn.CrossEntropyLoss(), "train_step": train_step, "batch_size": 50, "epochs": 10,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
    }
