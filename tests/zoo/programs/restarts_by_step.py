"""T_0=10 epochs, but the scheduler is stepped at every batch: the rate restarts every ten batches.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'restarts_by_step',
    'class': 'schedule-unit',
    'where': 'scheduler',
    'also': ['CosineAnnealingWarmRestarts', 'T_0'],
    'code': 'T_0=10',
    'static': False,
    'severity': 'error',
    'keywords': ['restart', 'T_0', 'epoch', 'interval'],
    'rule': 'schedule-unit',
}
FIX = [
    ('"scheduler_interval": "step"', '"scheduler_interval": "epoch"'),
]


def blobs(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 5, (n,), generator=g)
    c = torch.randn(5, 20, generator=torch.Generator().manual_seed(3))
    return c[y] + torch.randn(n, 20, generator=g), y

def build():
    return {
        "model": nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 5)),
        "train_set": TensorDataset(*blobs(1500, 0)), "val_set": TensorDataset(*blobs(200, 1)),
        "loss": nn.CrossEntropyLoss(), "batch_size": 30, "epochs": 30, "scheduler_interval": "step",
        "make_optimizer": lambda m: torch.optim.AdamW(m.parameters(), lr=2e-3),
        "make_scheduler": lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=10),
    }
