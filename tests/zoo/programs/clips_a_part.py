"""Only the gradients of the head are clipped; the recurrent network is where they explode.
"""

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import TensorDataset

BUG = {
    'id': 'clips_a_part',
    'class': 'clips-a-part',
    'where': 'train_step',
    'also': ['clip'],
    'code': 'clip_grad_norm_(model.head.parameters(), 1.0)',
    'static': False,
    'severity': 'warning',
    'keywords': ['clip', 'only', 'part', 'not clipped', 'unclipped'],
    'rule': 'clips-a-part',
}
FIX = [
    ('model.head.parameters(), 1.0', 'model.parameters(), 1.0'),
]


class Rnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 32, batch_first=True)
        self.head = nn.Linear(32, 1)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])

def sums(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 12, 3, generator=g)
    return x, x[..., 0].sum(1, keepdim=True) / 3

def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    value = loss(model(x), y)
    value.backward()
    clip_grad_norm_(model.head.parameters(), 1.0)
    optimizer.step()
    return value.item()

def build():
    return {
        "model": Rnn(), "train_set": TensorDataset(*sums(500, 0)), "val_set": TensorDataset(*sums(100, 1)),
        "loss": nn.MSELoss(), "train_step": train_step, "batch_size": 25, "epochs": 5,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3),
    }
