"""The main loss goes backward alone with retain_graph and then again within the sum.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'loss_counted_twice',
    'class': 'loss-backward-twice',
    'where': 'train_step',
    'also': ['backward'],
    'code': '(ce + 0.5 * aux).backward()',
    'static': False,
    'severity': 'warning',
    'keywords': ['twice', 'backward', 'double', 'retain_graph'],
    'rule': 'loss-backward-twice',
}
FIX = [
    ('    ce.backward(retain_graph=True)\n', ''),
]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Linear(10, 32)
        self.cls = nn.Linear(32, 3)
        self.dec = nn.Linear(32, 10)

    def forward(self, x):
        h = F.relu(self.enc(x))
        return self.cls(h), self.dec(h)

def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    logits, rec = model(x)
    ce = loss(logits, y)
    ce.backward(retain_graph=True)
    aux = F.mse_loss(rec, x)
    (ce + 0.5 * aux).backward()
    optimizer.step()
    return ce.item()

def blobs(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=g)
    c = torch.randn(3, 10, generator=torch.Generator().manual_seed(3))
    return c[y] + torch.randn(n, 10, generator=g), y

def build():
    return {
        "model": Net(), "train_set": TensorDataset(*blobs(600, 0)), "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(), "batch_size": 40, "epochs": 8, "train_step": train_step,
        "make_optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9),
    }
