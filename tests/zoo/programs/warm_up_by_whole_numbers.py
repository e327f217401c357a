"""Linear warm-up by hand with an integer division: the rate is 0 for the first 400 steps.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'warm_up_by_whole_numbers',
    'class': 'rate-stays-zero',
    'where': 'train_step',
    'also': ['lr', 'param_groups', 'warmup'],
    'code': 'model.count // WARMUP',
    'static': False,
    'severity': 'error',
    'keywords': ['rate', 'lr', '0', 'zero'],
    'rule': 'rate-stays-zero',
}
FIX = [
    ('model.count // WARMUP', 'model.count / WARMUP'),
]


WARMUP, BASE = 400, 1e-3

class Net(nn.Sequential):
    count = 0

def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 10, generator=g)
    return x, x[:, :1] - x[:, 1:2]

def train_step(model, batch, loss, optimizer):
    model.count += 1
    lr = BASE * min(1, model.count // WARMUP)
    for group in optimizer.param_groups:
        group["lr"] = lr
    x, y = batch
    optimizer.zero_grad()
    value = loss(model(x), y)
    value.backward()
    optimizer.step()
    return value.item()

def build():
    return {
        "model": Net(nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 1)),
        "train_set": TensorDataset(*data(600, 0)), "val_set": TensorDataset(*data(200, 1)),
        "loss": nn.MSELoss(), "batch_size": 20, "epochs": 40, "train_step": train_step,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=BASE),
    }
