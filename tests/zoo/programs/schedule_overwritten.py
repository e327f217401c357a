"""The step writes the rate into the groups each time, so the scheduler has no effect.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'schedule_overwritten',
    'class': 'schedule-overwritten',
    'where': 'train_step',
    'also': ['lr', 'param_groups', 'scheduler'],
    'code': 'group["lr"] = 0.01',
    'static': False,
    'severity': 'error',
    'keywords': ['schedule', 'overwrit', 'has no effect', 'lr'],
    'rule': 'schedule-overwritten',
}
FIX = [
    ('    for group in optimizer.param_groups:\n        group["lr"] = 0.01\n', ''),
]


def blobs(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=g)
    c = torch.randn(3, 10, generator=torch.Generator().manual_seed(3))
    return c[y] + torch.randn(n, 10, generator=g), y

def train_step(model, batch, loss, optimizer):
    for group in optimizer.param_groups:
        group["lr"] = 0.01
    x, y = batch
    optimizer.zero_grad()
    value = loss(model(x), y)
    value.backward()
    optimizer.step()
    return value.item()

def build():
    return {
        "model": nn.Sequential(nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 3)),
        "train_set": TensorDataset(*blobs(600, 0)), "val_set": TensorDataset(*blobs(200, 1)),
        "loss": nn.CrossEntropyLoss(), "train_step": train_step, "batch_size": 50, "epochs": 20,
        "make_optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9),
        "make_scheduler": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=20),
    }
