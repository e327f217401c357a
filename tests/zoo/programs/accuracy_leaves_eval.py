"""The step measures the training accuracy in ``eval()`` and does not go back to ``train()``: from
the second step on there is no dropout and batch norm uses its running statistics.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'loop-accuracy_leaves_eval',
    "class": 'mode-ignored',
    "where": 'train_step',
    "code": 'model.eval()',
    "static": True,
    "severity": 'error',
    "keywords": ['eval', 'train()', 'mode', 'dropout', 'BatchNorm', 'evaluation mode'],
    "rule": 'trains-in-eval',
}
FIX = [
    ('    with torch.no_grad():\n        model.eval()\n        model.history.append((model(x).argmax(1) == y).float().mean().item())\n', '    with torch.no_grad():\n        model.eval()\n        model.history.append((model(x).argmax(1) == y).float().mean().item())\n        model.train()\n'),
]


def photos(n, seed, k=5, size=16):
    """Small standardised colour pictures: a smooth pattern per class, random brightness, noise."""
    base = torch.randn(k, 3, 4, 4, generator=torch.Generator().manual_seed(11)) * 0.7
    base = F.interpolate(base, size=(size, size), mode="bilinear", align_corners=False)
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    x = base[y] + 0.8 * torch.randn(n, 3, size, size, generator=g)
    return x + 0.3 * torch.randn(n, 1, 1, 1, generator=g), y


class Classifier(nn.Module):
    def __init__(self, classes=5):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 4, stride=4), nn.BatchNorm2d(24), nn.ReLU())
        self.mixer = nn.Sequential(nn.Conv2d(24, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Linear(24, classes)
        self.history = []

    def forward(self, x):
        h = self.stem(x)
        h = h + self.mixer(h)
        return self.head(h.mean(dim=(2, 3)))


def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    value = loss(model(x), y)
    value.backward()
    optimizer.step()
    with torch.no_grad():
        model.eval()
        model.history.append((model(x).argmax(1) == y).float().mean().item())
    return value.detach()


def build():
    return {
        "model": Classifier(),
        "train_set": TensorDataset(*photos(480, 0)),
        "val_set": TensorDataset(*photos(240, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=3e-3),
        "batch_size": 48,
        "epochs": 4,
        "train_step": train_step,
    }
