"""A transformer-XL like memory of the last segment is kept on the module and used for whatever comes next."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'state-carried',
    "rule": 'state-carried',
    "class": 'state',
    "where": 'memory',
    "code": 'self.memory = h.detach()',
    "static": False,
    "severity": 'error',
    "keywords": ['carried', 'previous', 'shuffle', 'state', 'memory'],
}
FIX = [
    ('        self.memory = h.detach()\n', ''),
]


def clips(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=g)
    x = torch.randn(n, 8, 12, generator=g)
    x[torch.arange(n), :, y] += 1.0
    return TensorDataset(x, y)


class VideoNet(nn.Module):
    def __init__(self, d=32):
        super().__init__()
        self.inp = nn.Linear(12, d)
        self.attn = nn.MultiheadAttention(d, 4, batch_first=True)
        self.norm = nn.LayerNorm(d)
        self.fc = nn.Linear(d, 3)
        self.register_buffer("memory", None, persistent=False)

    def forward(self, x):
        h = self.inp(x)
        context = h
        if self.memory is not None and self.memory.shape[0] == h.shape[0]:
            context = torch.cat([self.memory, h], dim=1)
        self.memory = h.detach()
        out, _ = self.attn(h, context, context, need_weights=False)
        return self.fc(self.norm(h + out).mean(1))


def build():
    return {"model": VideoNet(), "train_set": clips(500, 0), "val_set": clips(100, 1), "loss": nn.CrossEntropyLoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 1e-3), "batch_size": 25}
