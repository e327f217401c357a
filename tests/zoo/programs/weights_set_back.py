"""The best weights so far are loaded in each step, and best_state is never renewed.
"""

import copy
import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'weights_set_back',
    'class': 'progress-thrown-away',
    'where': 'train_step',
    'also': ['load_state_dict'],
    'code': 'model.load_state_dict(best_state)',
    'static': False,
    'severity': 'error',
    'keywords': ['load_state_dict', 'thrown away', 'anew', 'reset', 'initial', 'restored'],
    'rule': 'progress-thrown-away',
}
FIX = [
    ('    model.load_state_dict(best_state)\n', ''),
]


net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
best_state = copy.deepcopy(net.state_dict())
best_loss = float("inf")

def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=g)
    c = torch.randn(3, 8, generator=torch.Generator().manual_seed(3))
    return c[y] + 0.8 * torch.randn(n, 8, generator=g), y

def train_step(model, batch, criterion, optimizer):
    x, y = batch
    model.load_state_dict(best_state)
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()

def build():
    return {
        "model": net, "train_set": TensorDataset(*data(600, 0)), "val_set": TensorDataset(*data(200, 1)),
        "loss": nn.CrossEntropyLoss(), "make_optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        "train_step": train_step, "batch_size": 50, "epochs": 5,
    }
