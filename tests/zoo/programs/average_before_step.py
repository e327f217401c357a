"""The average is taken before the optimizer has stepped: it lags one step behind.
"""

import copy
import torch
import torch.nn as nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'average_before_step',
    'class': 'average-before-step',
    'where': 'train_step',
    'also': ['ema', 'update'],
    'code': 'ema_update(model)  # keep',
    'static': False,
    'severity': 'info',
    'keywords': ['before', 'ema', 'average', 'one step'],
    'rule': 'average-before-step',
}
FIX = [
    ('    ema_update(model)  # keep the average\n    optimizer.step()\n', '    optimizer.step()\n    ema_update(model)  # keep the average\n'),
]


net = nn.Sequential(nn.Linear(5, 24), nn.Tanh(), nn.Linear(24, 1))
averaged = copy.deepcopy(net)

def ema_update(model, decay=0.95):
    with torch.no_grad():
        for k, v in averaged.state_dict().items():
            v.copy_(decay * v + (1 - decay) * model.state_dict()[k])

def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    value = loss(model(x), y)
    value.backward()
    ema_update(model)  # keep the average
    optimizer.step()
    return value.item()

def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 5, generator=g)
    return x, x[:, :1] - x[:, 1:2] * x[:, 2:3]

def build():
    return {
        "model": net, "train_set": TensorDataset(*data(600, 0)), "val_set": TensorDataset(*data(200, 1)),
        "loss": nn.MSELoss(), "make_optimizer": lambda m: torch.optim.AdamW(m.parameters(), lr=3e-3),
        "train_step": train_step, "batch_size": 40, "epochs": 8,
    }
