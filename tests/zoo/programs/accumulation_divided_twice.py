"""The loss is divided by the number of micro-batches and then the gradients are too.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'accumulation_divided_twice',
    'class': 'accumulation-divided-twice',
    'where': 'train_step',
    'also': ['grad'],
    'code': 'p.grad /= ACCUM',
    'static': False,
    'severity': 'warning',
    'keywords': ['twice', 'divided', 'accumul', 'smaller'],
    'rule': 'accumulation-divided-twice',
}
FIX = [
    ('    for p in model.parameters():\n        p.grad /= ACCUM\n', ''),
]


ACCUM = 8

def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 16, generator=g)
    w = torch.linspace(-1, 1, 16)
    return x, (x @ w)[:, None] + 0.1 * torch.randn(n, 1, generator=g)

def train_step(model, batch, loss_fn, optimizer):
    x, y = batch
    total = 0.0
    optimizer.zero_grad()
    for xb, yb in zip(x.chunk(ACCUM), y.chunk(ACCUM)):
        loss = loss_fn(model(xb), yb) / ACCUM
        loss.backward()
        total += loss.item()
    for p in model.parameters():
        p.grad /= ACCUM
    optimizer.step()
    return total

def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*data(800, 0)), "val_set": TensorDataset(*data(200, 1)),
        "loss": nn.MSELoss(), "make_optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.02, momentum=0.9),
        "train_step": train_step, "batch_size": 64, "epochs": 6,
    }
