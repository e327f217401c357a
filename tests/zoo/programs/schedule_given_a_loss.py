"""A StepLR is stepped with the loss as its argument, as if it were ReduceLROnPlateau: it is taken as the epoch.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'schedule_given_a_loss',
    'class': 'schedule-given-a-figure',
    'where': 'train_step',
    'also': ['scheduler'],
    'code': 'scheduler.step(value.item())',
    'static': False,
    'severity': 'error',
    'keywords': ['scheduler', 'epoch', 'step'],
    'rule': 'schedule-given-a-figure',
}
FIX = [
    ('scheduler.step(value.item())', 'scheduler.step()'),
]


def blobs(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=g)
    c = torch.randn(3, 10, generator=torch.Generator().manual_seed(3))
    return c[y] + torch.randn(n, 10, generator=g), y

net = nn.Sequential(nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 3))
opt = torch.optim.SGD(net.parameters(), lr=0.1)
scheduler = torch.optim.lr_scheduler.StepLR(opt, step_size=30, gamma=0.5)

def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    value = loss(model(x), y)
    value.backward()
    optimizer.step()
    scheduler.step(value.item())
    return value.item()

def build():
    return {
        "model": net, "train_set": TensorDataset(*blobs(600, 0)), "val_set": TensorDataset(*blobs(200, 1)),
        "loss": nn.CrossEntropyLoss(), "train_step": train_step, "batch_size": 50, "epochs": 10,
        "make_optimizer": lambda m: opt,
    }
