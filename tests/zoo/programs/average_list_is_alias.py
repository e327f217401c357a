"""The EMA is a list of p.data, which are the weights themselves.
"""

import copy
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import TensorDataset

BUG = {
    'id': 'average_list_is_alias',
    'class': 'follower-is-alias',
    'where': 'ema_weights',
    'also': ['ema'],
    'code': 'ema_weights = [p.data',
    'static': False,
    'severity': 'error',
    'keywords': ['alias', 'clone', 'same memory', 'same tensor', 'copy'],
    'rule': 'follower-is-alias',
}
FIX = [
    ('[p.data for', '[p.data.clone() for'),
]


def blobs(n, seed, d=10, k=3):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    c = torch.randn(k, d, generator=torch.Generator().manual_seed(3))
    return c[y] + torch.randn(n, d, generator=g), y

net = nn.Sequential(nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 3))
ema_weights = [p.data for p in net.parameters()]

def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    value = loss(model(x), y)
    value.backward()
    optimizer.step()
    for e, p in zip(ema_weights, model.parameters()):
        e.mul_(0.99).add_(p.data, alpha=0.01)
    return value.item()

def build():
    return {
        "model": net, "train_set": TensorDataset(*blobs(600, 0)), "val_set": TensorDataset(*blobs(200, 1)),
        "loss": nn.CrossEntropyLoss(), "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3), "train_step": train_step,
        "batch_size": 40, "epochs": 10,
    }
