"""The step uses a global optimizer that was made for another instance of the model.
"""

import copy
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import TensorDataset

BUG = {
    'id': 'optimizer_of_another_instance',
    'class': 'step-missing',
    'where': 'train_step',
    'also': ['opt', 'optimizer'],
    'code': 'opt.step()',
    'static': False,
    'severity': 'error',
    'keywords': ['optimizer', 'never', 'copy', 'other'],
    'rule': 'step-missing',
}
FIX = [
    ('    opt.zero_grad()', '    optimizer.zero_grad()'),
    ('    opt.step()', '    optimizer.step()'),
]


def blobs(n, seed, d=10, k=3):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    c = torch.randn(k, d, generator=torch.Generator().manual_seed(3))
    return c[y] + torch.randn(n, d, generator=g), y

def make_net():
    return nn.Sequential(nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 3))

prototype = make_net()
opt = torch.optim.Adam(prototype.parameters(), lr=1e-3)

def train_step(model, batch, loss, optimizer):
    x, y = batch
    opt.zero_grad()
    value = loss(model(x), y)
    value.backward()
    opt.step()
    return value.item()

def build():
    return {
        "model": make_net(), "train_set": TensorDataset(*blobs(600, 0)), "val_set": TensorDataset(*blobs(200, 1)),
        "loss": nn.CrossEntropyLoss(), "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3), "train_step": train_step,
        "batch_size": 40, "epochs": 10,
    }
