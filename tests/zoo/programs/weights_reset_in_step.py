"""The weights are reset at each call; it was to be once per fold.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import TensorDataset

BUG = {
    'id': 'weights_reset_in_step',
    'class': 'progress-thrown-away',
    'where': 'train_step',
    'also': ['reset_parameters', 'apply'],
    'code': 'model.apply(weights_reset)',
    'static': False,
    'severity': 'error',
    'keywords': ['reset', 'initialis', 'initializ', 'thrown away', 'anew'],
    'rule': 'progress-thrown-away',
}
FIX = [
    ('    model.apply(weights_reset)\n', ''),
]


def weights_reset(m):
    if isinstance(m, (nn.Linear, nn.Conv1d)):
        m.reset_parameters()

def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 1, 20, generator=g)
    y = torch.randint(0, 2, (n,), generator=g)
    x[:, 0, 5:9] += 1.5 * y[:, None]
    return x, y

class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 8, 5)
        self.fc = nn.Linear(8 * 16, 2)

    def forward(self, x):
        return self.fc(F.relu(self.conv(x)).flatten(1))

def train_step(model, batch, loss, optimizer):
    model.apply(weights_reset)
    x, y = batch
    out = loss(model(x), y)
    optimizer.zero_grad()
    out.backward()
    optimizer.step()
    return out.item()

def build():
    return {
        "model": ConvNet(), "train_set": TensorDataset(*data(600, 0)), "val_set": TensorDataset(*data(200, 1)),
        "loss": nn.CrossEntropyLoss(), "make_optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9),
        "train_step": train_step, "batch_size": 30, "epochs": 5,
    }
