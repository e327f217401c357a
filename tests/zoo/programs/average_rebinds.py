"""The exponential moving average is assigned to the loop variable: the averaged model never moves.
"""

import copy
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import TensorDataset

BUG = {
    'id': 'average_rebinds',
    'class': 'update-rebinds',
    'where': 'update_ema',
    'also': ['ema', 'train_step'],
    'code': 'e = decay * e + (1 - decay) * p',
    'static': False,
    'severity': 'error',
    'keywords': ['ema', 'average', 'in place', 'never changes', 'never moves'],
    'rule': 'update-rebinds',
}
FIX = [
    ('e = decay * e + (1 - decay) * p', 'e.mul_(decay).add_(p, alpha=1 - decay)'),
]


def blobs(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 4, (n,), generator=g)
    return torch.randn(4, 12, generator=torch.Generator().manual_seed(5))[y] + torch.randn(n, 12, generator=g), y

model = nn.Sequential(nn.Linear(12, 48), nn.ReLU(), nn.Linear(48, 4))
ema_model = copy.deepcopy(model)

@torch.no_grad()
def update_ema(decay=0.9):
    for e, p in zip(ema_model.parameters(), model.parameters()):
        e = decay * e + (1 - decay) * p

def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    value = loss(model(x), y)
    value.backward()
    optimizer.step()
    update_ema()
    return value.item()

def evaluate(model, val_set):
    ema_model.eval()
    x, y = val_set.tensors
    with torch.no_grad():
        return (ema_model(x).argmax(1) == y).float().mean().item()

def build():
    return {
        "model": model, "train_set": TensorDataset(*blobs(800, 0)), "val_set": TensorDataset(*blobs(200, 1)),
        "loss": F.cross_entropy, "train_step": train_step, "evaluate": evaluate, "batch_size": 40, "epochs": 10,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=2e-3),
    }
