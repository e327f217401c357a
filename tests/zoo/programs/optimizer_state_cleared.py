"""The optimizer's state is cleared in each step to save memory.
"""

import copy
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import TensorDataset

BUG = {
    'id': 'optimizer_state_cleared',
    'class': 'optimizer-state-lost',
    'where': 'train_step',
    'also': ['optimizer', 'state'],
    'code': 'optimizer.state.clear()',
    'static': False,
    'severity': 'warning',
    'keywords': ['state', 'momentum', 'lost', 'cleared', 'averages'],
    'rule': 'optimizer-state-lost',
}
FIX = [
    ('    optimizer.state.clear()\n', ''),
]


def blobs(n, seed, d=10, k=3):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    c = torch.randn(k, d, generator=torch.Generator().manual_seed(3))
    return c[y] + torch.randn(n, d, generator=g), y

def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad(set_to_none=True)
    value = loss(model(x), y)
    value.backward()
    optimizer.step()
    optimizer.state.clear()
    return value.item()

def build():
    return {
        "model": nn.Sequential(nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 3)), "train_set": TensorDataset(*blobs(600, 0)), "val_set": TensorDataset(*blobs(200, 1)),
        "loss": nn.CrossEntropyLoss(), "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3), "train_step": train_step,
        "batch_size": 40, "epochs": 10,
    }
