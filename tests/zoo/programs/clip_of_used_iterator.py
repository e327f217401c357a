"""``trainable`` is a filter object: the optimizer has read it to its end, and the clipping gets nothing.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'clip_of_used_iterator',
    'class': 'clip-in-vain',
    'where': 'train_step',
    'also': ['clip'],
    'code': 'clip_grad_norm_(trainable, 1.0)',
    'static': False,
    'severity': 'error',
    'keywords': ['clip', 'exhausted', 'generator', 'no parameter', 'empty', 'nothing'],
    'rule': 'clip-in-vain',
}
FIX = [
    ('net.parameters())\nopt', 'net.parameters())\ntrainable = list(trainable)\nopt'),
]


class Seq(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(2, 24, batch_first=True)
        self.out = nn.Linear(24, 1)

    def forward(self, x):
        h, _ = self.rnn(x)
        return self.out(h[:, -1])

net = Seq()
trainable = filter(lambda p: p.requires_grad, net.parameters())
opt = torch.optim.Adam(trainable, lr=5e-3)

def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 10, 2, generator=g)
    return x, (x[..., 0] * x[..., 1]).sum(1, keepdim=True) / 3

def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    value = loss(model(x), y)
    value.backward()
    torch.nn.utils.clip_grad_norm_(trainable, 1.0)
    optimizer.step()
    return value.item()

def build():
    return {
        "model": net, "train_set": TensorDataset(*data(500, 0)), "val_set": TensorDataset(*data(100, 1)),
        "loss": nn.MSELoss(), "train_step": train_step, "batch_size": 25, "epochs": 5,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=5e-3),
    }
