"""Correct: generalised IoU of boxes that are corners."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def scenes(n, seed, size=24):
    g = torch.Generator().manual_seed(seed)
    x = 0.1 * torch.randn(n, 1, size, size, generator=g)
    boxes = torch.zeros(n, 4)
    for i in range(n):
        w, h = torch.randint(5, 12, (2,), generator=g).tolist()
        left, top = torch.randint(0, size - 12, (2,), generator=g).tolist()
        x[i, 0, top:top + h, left:left + w] += 1
        boxes[i] = torch.tensor([left, top, left + w, top + h]) / size
    return x, boxes


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(), nn.Flatten())
        self.head = nn.Linear(16 * 25, 4)

    def forward(self, x):
        b = torch.sigmoid(self.head(self.conv(x)))
        return torch.cat([b[:, :2], b[:, :2] + b[:, 2:]], 1)


def giou(a, b):
    lt, rb = torch.max(a[:, :2], b[:, :2]), torch.min(a[:, 2:], b[:, 2:])
    inter = (rb - lt).clamp(min=0).prod(1)
    area = lambda t: (t[:, 2] - t[:, 0]) * (t[:, 3] - t[:, 1])
    union = area(a) + area(b) - inter
    lo, hi = torch.min(a[:, :2], b[:, :2]), torch.max(a[:, 2:], b[:, 2:])
    hull = (hi - lo).prod(1) + 1e-7
    return inter / (union + 1e-7) - (hull - union) / hull


def giou_loss(p, t):
    return (1 - giou(p, t)).mean()


def build():
    return {
        "model": Detector(),
        "train_set": TensorDataset(*scenes(200, 0)),
        "val_set": TensorDataset(*scenes(200, 1)),
        "loss": giou_loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
