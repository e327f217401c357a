"""A hand written SGD update adds the gradient instead of subtracting it.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import TensorDataset

BUG = {
    'id': 'ascent_by_hand',
    'class': 'climbs-the-loss',
    'where': 'train_step',
    'also': ['lr', 'p.grad', 'sgd'],
    'code': 'p.data += lr * p.grad',
    'static': False,
    'severity': 'error',
    'keywords': ['ascent', 'sign', 'gradient ascent', 'increases', 'climbs', 'minus'],
    'rule': 'climbs-the-loss',
}
FIX = [
    ('p.data += lr', 'p.data -= lr'),
]


lr = 0.05

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(8, 24)
        self.b = nn.Linear(24, 3)

    def forward(self, x):
        return self.b(torch.tanh(self.a(x)))

def blobs(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=g)
    return torch.randn(3, 8, generator=torch.Generator().manual_seed(5))[y] * 1.5 + torch.randn(n, 8, generator=g), y

def train_step(model, batch, loss, optimizer):
    x, y = batch
    model.zero_grad()
    value = loss(model(x), y)
    value.backward()
    with torch.no_grad():
        for p in model.parameters():
            p.data += lr * p.grad
    return value.item()

def build():
    return {
        "model": Net(), "train_set": TensorDataset(*blobs(600, 0)), "val_set": TensorDataset(*blobs(200, 1)),
        "loss": F.cross_entropy, "batch_size": 50, "epochs": 5, "train_step": train_step,
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=lr),
    }
