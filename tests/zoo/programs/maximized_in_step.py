"""Cross entropy in a training step of one's own, and an optimizer that maximises.
"""

import copy
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import TensorDataset

BUG = {
    'id': 'maximized_in_step',
    'class': 'climbs-the-loss',
    'where': 'optimizer',
    'also': ['maximize', 'train_step'],
    'code': 'maximize=True',
    'static': False,
    'severity': 'error',
    'keywords': ['maximize', 'sign', 'reward', 'ascent'],
    'rule': 'climbs-the-loss',
}
FIX = [
    (', maximize=True', ''),
]


def blobs(n, seed, d=10, k=3):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    c = torch.randn(k, d, generator=torch.Generator().manual_seed(3))
    return c[y] + torch.randn(n, d, generator=g), y

def train_step(model, batch, loss, optimizer):
    x, y = batch
    out = model(x)
    l = loss(out, y)
    optimizer.zero_grad()
    l.backward()
    optimizer.step()
    return l.item()

def build():
    return {
        "model": nn.Sequential(nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 3)), "train_set": TensorDataset(*blobs(600, 0)), "val_set": TensorDataset(*blobs(200, 1)),
        "loss": nn.CrossEntropyLoss(), "make_optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.02, maximize=True), "train_step": train_step,
        "batch_size": 40, "epochs": 10,
    }
