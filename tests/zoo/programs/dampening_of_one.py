"""With dampening=1 the momentum buffer keeps the first gradient only: later gradients never enter.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'dampening_of_one',
    'class': 'optimizer-setting',
    'where': 'optimizer',
    'also': ['dampening'],
    'code': 'dampening=1.0',
    'static': False,
    'severity': 'error',
    'keywords': ['dampening'],
    'rule': 'optimizer-setting',
}
FIX = [
    (', dampening=1.0', ''),
]


def blobs(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 5, (n,), generator=g)
    c = torch.randn(5, 20, generator=torch.Generator().manual_seed(3))
    return c[y] + torch.randn(n, 20, generator=g), y

def make_optimizer(model):
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, dampening=1.0)

def build():
    return {
        "model": nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 5)),
        "train_set": TensorDataset(*blobs(1000, 0)), "val_set": TensorDataset(*blobs(200, 1)),
        "loss": nn.CrossEntropyLoss(), "batch_size": 50, "epochs": 20, "make_optimizer": make_optimizer,
    }
