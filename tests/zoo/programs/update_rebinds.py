"""The update by hand rebinds the loop variable; the parameters stay.
"""

import torch
import torch.nn as nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'update_rebinds',
    'class': 'update-rebinds',
    'where': 'train_step',
    'also': ['p = p -'],
    'code': 'p = p - 0.1 * p.grad',
    'static': False,
    'severity': 'error',
    'keywords': ['in place', 'in-place', 'rebinds', 'never changes', 'no parameter changes', 'not updated', 'never calls'],
    'rule': 'update-rebinds',
}
FIX = [
    ('p = p - 0.1 * p.grad', 'p -= 0.1 * p.grad'),
]


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 6, generator=g) * 2 - 1
    return x, torch.sin(x.sum(1, keepdim=True))

def train_step(model, batch, criterion, optimizer):
    x, y = batch
    l = criterion(model(x), y)
    l.backward()
    with torch.no_grad():
        for p in model.parameters():
            p = p - 0.1 * p.grad
    model.zero_grad()
    return l.item()

def build():
    return {
        "model": nn.Sequential(nn.Linear(6, 40), nn.Tanh(), nn.Linear(40, 1)),
        "train_set": TensorDataset(*data(500, 0)), "val_set": TensorDataset(*data(100, 1)),
        "loss": nn.MSELoss(), "train_step": train_step, "batch_size": 25, "epochs": 4,
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
    }
