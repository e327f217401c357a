"""The clip value was mistyped: each gradient element is cut to 1e-6, so SGD does not move.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'clipped_values',
    'class': 'clip-sets-step',
    'where': 'train_step',
    'also': ['clip'],
    'code': 'clip_grad_value_(model.parameters(), 1e-6)',
    'static': False,
    'severity': 'warning',
    'keywords': ['clip', 'small', 'too small', 'limit'],
    'rule': 'clip-sets-step',
}
FIX = [
    ('model.parameters(), 1e-6', 'model.parameters(), 1.0'),
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
    nn.utils.clip_grad_value_(model.parameters(), 1e-6)
    optimizer.step()
    return value.item()

def build():
    return {
        "model": nn.Sequential(nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 3)),
        "train_set": TensorDataset(*blobs(600, 0)), "val_set": TensorDataset(*blobs(200, 1)),
        "loss": nn.CrossEntropyLoss(), "train_step": train_step, "batch_size": 50, "epochs": 10,
        "make_optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
    }
