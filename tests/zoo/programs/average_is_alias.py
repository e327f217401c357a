"""The shadow weights are registered without clone(): they are the model's own memory.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'average_is_alias',
    'class': 'follower-is-alias',
    'where': 'EMA',
    'also': ['shadow'],
    'code': 'self.shadow[name] = p.data',
    'static': False,
    'severity': 'error',
    'keywords': ['alias', 'same memory', 'clone', 'same tensor', 'shares', 'copy'],
    'rule': 'follower-is-alias',
}
FIX = [
    ('self.shadow[name] = p.data\n', 'self.shadow[name] = p.data.clone()\n'),
]


class EMA:
    def __init__(self, model, decay):
        self.decay = decay
        self.shadow = {}
        for name, p in model.named_parameters():
            if p.requires_grad:
                self.shadow[name] = p.data

    def update(self, model):
        for name, p in model.named_parameters():
            if p.requires_grad:
                new = (1.0 - self.decay) * p.data + self.decay * self.shadow[name]
                self.shadow[name].copy_(new)

    def apply(self, model):
        for name, p in model.named_parameters():
            p.data = self.shadow[name].clone()

net = nn.Sequential(nn.Linear(9, 30), nn.GELU(), nn.Linear(30, 1))
ema = EMA(net, 0.99)

def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 9, generator=g)
    return x, x[:, :1] * x[:, 1:2] + 0.3 * x[:, 2:3]

def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    out = loss(model(x), y)
    out.backward()
    optimizer.step()
    ema.update(model)
    return out.detach()

def build():
    return {
        "model": net, "train_set": TensorDataset(*data(600, 0)), "val_set": TensorDataset(*data(200, 1)),
        "loss": nn.MSELoss(), "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3),
        "train_step": train_step, "batch_size": 30, "epochs": 8,
    }
