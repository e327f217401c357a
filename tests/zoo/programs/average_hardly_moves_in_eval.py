"""The average that the model uses in eval() keeps 0.9999 of itself, in a run of some hundred steps."""

import copy

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'average_hardly_moves_in_eval',
    'class': 'average-never-moves',
    'where': 'slow',
    'also': ['train_step', 'update'],
    'code': 'lerp_(new, 1e-4)',
    'static': False,
    'severity': 'warning',
    'keywords': ['average', 'ema', 'decay'],
    'rule': 'average-never-moves',
}
FIX = [
    ('lerp_(new, 1e-4)', 'lerp_(new, 0.05)'),
]


class Smoothed(nn.Module):
    def __init__(self):
        super().__init__()
        self.live = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 3))
        self.slow = copy.deepcopy(self.live).requires_grad_(False)

    def forward(self, x):
        return self.live(x) if self.training else self.slow(x)

    @torch.no_grad()
    def update(self):
        for old, new in zip(self.slow.parameters(), self.live.parameters()):
            old.lerp_(new, 1e-4)


def blobs(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=g)
    return torch.randn(n, 6, generator=g) + 1.5 * torch.eye(3, 6)[y], y


def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    value = loss(model(x), y)
    value.backward()
    optimizer.step()
    model.update()
    return value


def build():
    return {
        "model": Smoothed(),
        "train_set": TensorDataset(*blobs(900, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.live.parameters(), lr=5e-3),
        "train_step": train_step,
        "batch_size": 50,
        "epochs": 8,
    }
