"""``max(1)[0]`` gives the values; the class is in ``max(1)[1]``. The accuracy is always 0.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = {
    "id": 'loop-max_values_as_classes',
    "class": 'metric-wrong',
    "where": 'evaluate',
    "code": 'predicted = logits.max(1)[0]',
    "static": True,
    "severity": 'error',
    "keywords": ['max', 'argmax', 'indices', 'values', 'accuracy', 'metric'],
    "rule": 'scores-as-classes',
}
FIX = [
    ('logits.max(1)[0]', 'logits.max(1)[1]'),
]


def glyphs(n, seed, k=6, size=12):
    """Grey pictures, roughly standardised: ``k`` fixed 8x8 patterns at random offsets, with noise."""
    patterns = (torch.rand(k, 8, 8, generator=torch.Generator().manual_seed(3)) > 0.5).float()
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    top, left = torch.randint(0, size - 7, (2, n), generator=g).tolist()
    x = 0.3 * torch.randn(n, 1, size, size, generator=g)
    for i in range(n):
        x[i, 0, top[i]:top[i] + 8, left[i]:left[i] + 8] += patterns[y[i]]
    return (x - 0.22) / 0.5, y


class LeNet(nn.Module):
    def __init__(self, classes=6):
        super().__init__()
        self.c1 = nn.Conv2d(1, 8, 3)
        self.c2 = nn.Conv2d(8, 24, 3)
        self.f1 = nn.Linear(24 * 4, 48)
        self.f2 = nn.Linear(48, classes)

    def forward(self, x):
        x = F.max_pool2d(torch.tanh(self.c1(x)), 2)
        x = F.avg_pool2d(torch.tanh(self.c2(x)), 2, stride=1)
        return self.f2(torch.tanh(self.f1(x.flatten(1))))


def evaluate(model, val_set):
    model.eval()
    correct, total = 0, 0
    with torch.no_grad():
        for images, labels in DataLoader(val_set, batch_size=100):
            logits = model(images)
            predicted = logits.max(1)[0]
            correct += (predicted == labels).sum().item()
            total += labels.size(0)
    model.train()
    return correct / total


def build():
    return {
        "model": LeNet(),
        "train_set": TensorDataset(*glyphs(600, 0)),
        "val_set": TensorDataset(*glyphs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=5e-3),
        "batch_size": 50,
        "epochs": 6,
        "evaluate": evaluate,
    }
