"""The limit of the gradient norm is a thousand times too small: it sets each step."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'loop-clipped_to_nothing',
    "class": 'clip-sets-step',
    "where": 'train_step',
    "code": '1e-3',
    "static": False,
    "severity": 'warning',
    "keywords": ['clip', 'norm'],
    "rule": 'clip-sets-step',
}
FIX = [
    ('1e-3', '5.0'),
]


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    w = torch.randn(10, 4, generator=torch.Generator().manual_seed(9))
    x = torch.randn(n, 10, generator=g)
    return TensorDataset(x, (x @ w).argmax(1))

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(10, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.head = nn.Linear(32, 4)
    def forward(self, x):
        return self.head(self.body(x))


def train_step(model, batch, loss, optimizer):
    x, y = batch
    model.train()
    optimizer.zero_grad()
    value = loss(model(x), y)
    value.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
    optimizer.step()

    return value.detach()

def build():
    return {"model": Net(), "train_set": data(400, 0), "val_set": data(150, 1), "loss": nn.CrossEntropyLoss(),
            "make_optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=5e-2, momentum=0.9), "batch_size": 40, "epochs": 5, "train_step": train_step,}
