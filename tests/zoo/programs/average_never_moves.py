"""The decay of the moving average was set to 1.0 in an ablation and stayed there.
"""

import copy
import torch
import torch.nn as nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'average_never_moves',
    'class': 'average-never-moves',
    'where': 'ema',
    'also': ['decay', 'average'],
    'code': 'ema_decay = 1.0',
    'static': False,
    'severity': 'warning',
    'keywords': ['ema', 'decay', 'never moves', 'stays'],
    'rule': 'average-never-moves',
}
FIX = [
    ('ema_decay = 1.0', 'ema_decay = 0.98'),
]


ema_decay = 1.0

class Trainer:
    def __init__(self, model):
        self.model = model
        self.ema = copy.deepcopy(model)
        for p in self.ema.parameters():
            p.requires_grad_(False)

    def step(self, model, batch, loss, optimizer):
        x, y = batch
        pred = self.model(x)
        l = loss(pred, y)
        optimizer.zero_grad()
        l.backward()
        optimizer.step()
        with torch.no_grad():
            for a, b in zip(self.ema.parameters(), self.model.parameters()):
                a.mul_(ema_decay).add_(b, alpha=1 - ema_decay)
        return l.item()

    def evaluate(self, model, val_set):
        x, y = val_set.tensors
        self.ema.eval()
        with torch.no_grad():
            return nn.functional.mse_loss(self.ema(x), y).item()

def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 7, generator=g)
    return x, torch.relu(x[:, :1]) - 0.5 * x[:, 1:2]

def build():
    model = nn.Sequential(nn.Linear(7, 32), nn.ReLU(), nn.Linear(32, 1))
    t = Trainer(model)
    return {
        "model": model, "train_set": TensorDataset(*data(640, 0)), "val_set": TensorDataset(*data(160, 1)),
        "loss": nn.MSELoss(), "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3),
        "train_step": t.step, "evaluate": t.evaluate, "batch_size": 32, "epochs": 10,
    }
