"""The gradients are unscaled for the log and again before clipping.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'unscaled_twice',
    'class': 'step-fails',
    'where': 'train_step',
    'also': ['unscale'],
    'code': 'scaler.unscale_(optimizer)  # for the log',
    'static': False,
    'severity': 'error',
    'keywords': ['unscale', 'twice', 'already'],
    'rule': 'step-fails',
}
FIX = [
    ('    scaler.unscale_(optimizer)  # for the log\n', ''),
]


scaler = torch.amp.GradScaler("cpu")

def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=g)
    return x, x[:, :1] - 0.5 * x[:, 1:2]

def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(model(x).float(), y)
    scaler.scale(value).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    scaler.unscale_(optimizer)  # for the log
    train_step.norm = sum(p.grad.norm() for p in model.parameters())
    scaler.step(optimizer)
    scaler.update()
    return value.item()

def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*data(400, 0)), "val_set": TensorDataset(*data(100, 1)),
        "loss": nn.MSELoss(), "train_step": train_step, "batch_size": 40, "epochs": 5,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=2e-3),
    }
