"""Gradient noise with a standard deviation of 1, a hundred times the gradient.
"""

import copy
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import TensorDataset

BUG = {
    'id': 'gradient_drowned',
    'class': 'gradient-drowned',
    'where': 'train_step',
    'also': ['noise', 'randn_like'],
    'code': 'p.grad.add_(torch.randn_like(p.grad))',
    'static': False,
    'severity': 'warning',
    'keywords': ['noise', 'gradient', 'drown', 'larger'],
    'rule': 'gradient-drowned',
}
FIX = [
    ('torch.randn_like(p.grad)', '1e-4 * torch.randn_like(p.grad)'),
]


def blobs(n, seed, d=10, k=3):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    c = torch.randn(k, d, generator=torch.Generator().manual_seed(3))
    return c[y] + torch.randn(n, d, generator=g), y

def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    value = loss(model(x), y)
    value.backward()
    for p in model.parameters():
        p.grad.add_(torch.randn_like(p.grad))
    optimizer.step()
    return value.item()

def build():
    return {
        "model": nn.Sequential(nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 3)), "train_set": TensorDataset(*blobs(600, 0)), "val_set": TensorDataset(*blobs(200, 1)),
        "loss": nn.CrossEntropyLoss(), "make_optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.05), "train_step": train_step,
        "batch_size": 40, "epochs": 10,
    }
