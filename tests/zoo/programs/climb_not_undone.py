"""Sharpness-aware minimisation climbs to the perturbed weights and never comes back before the step.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'climb_not_undone',
    'class': 'climb-not-undone',
    'where': 'train_step',
    'also': ['perturb', 'sam'],
    'code': 'p.add_(p.grad, alpha=rho / norm)',
    'static': False,
    'severity': 'error',
    'keywords': ['restore', 'climb', 'perturb', 'ascent', 'return', 'sub_'],
    'rule': 'climb-not-undone',
}
FIX = [
    ('    with torch.no_grad():\n        norm', '    old = [p.detach().clone() for p in model.parameters()]\n    with torch.no_grad():\n        norm'),
    ('    loss(model(x), y).backward()\n', '    loss(model(x), y).backward()\n    with torch.no_grad():\n        for p, o in zip(model.parameters(), old):\n            p.copy_(o)\n'),
]


rho = 0.5

def blobs(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=g)
    c = torch.randn(3, 10, generator=torch.Generator().manual_seed(3))
    return c[y] + torch.randn(n, 10, generator=g), y

def train_step(model, batch, loss, optimizer):
    x, y = batch
    value = loss(model(x), y)
    value.backward()
    with torch.no_grad():
        norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm() + 1e-12
        for p in model.parameters():
            p.add_(p.grad, alpha=rho / norm)
    optimizer.zero_grad()
    loss(model(x), y).backward()
    optimizer.step()
    optimizer.zero_grad()
    return value.item()

def build():
    return {
        "model": nn.Sequential(nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 3)),
        "train_set": TensorDataset(*blobs(600, 0)), "val_set": TensorDataset(*blobs(200, 1)),
        "loss": nn.CrossEntropyLoss(), "train_step": train_step, "batch_size": 50, "epochs": 10,
        "make_optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9),
    }
