"""After three steps the backbone is unfrozen, but the optimizer was made of the head's parameters only.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'unfrozen_too_late',
    'class': 'unfrozen-not-in-optimizer',
    'where': 'train_step',
    'also': ['make_optimizer', 'backbone', 'optimizer'],
    'code': 'p.requires_grad = True',
    'static': False,
    'severity': 'error',
    'keywords': ['optimizer', 'not in', 'unfrozen', 'unfreez'],
    'rule': 'unfrozen-not-in-optimizer',
}
FIX = [
    ('filter(lambda p: p.requires_grad, model.parameters())', 'model.parameters()'),
]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.head = nn.Linear(32, 3)
        self.seen = 0
        for p in self.backbone.parameters():
            p.requires_grad = False

    def forward(self, x):
        return self.head(self.backbone(x))

def make_optimizer(model):
    return torch.optim.Adam(filter(lambda p: p.requires_grad, model.parameters()), lr=1e-3)

def train_step(model, batch, loss, optimizer):
    model.seen += 1
    if model.seen == 3:
        for p in model.backbone.parameters():
            p.requires_grad = True
    x, y = batch
    model.zero_grad()
    out = loss(model(x), y)
    out.backward()
    optimizer.step()
    return out.item()

def blobs(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=g)
    c = torch.randn(3, 10, generator=torch.Generator().manual_seed(3))
    return c[y] + torch.randn(n, 10, generator=g), y

def build():
    return {
        "model": Net(), "train_set": TensorDataset(*blobs(600, 0)), "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(), "batch_size": 40, "epochs": 8, "make_optimizer": make_optimizer, "train_step": train_step,
    }
