"""Iou of cxcywh boxes."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'iou-of-cxcywh-boxes',
    'rule': 'box-format',
    'class': 'box-format',
    'where': 'iou_loss',
    'code': 'iou = box_iou(pred, target)',
    'static': False,
    'severity': 'error',
    'keywords': ['xyxy', 'cxcywh', 'format', 'corner', 'IoU', 'convert'],
    'also': ['loss', 'box_iou'],
}
FIX = [
    ('box_iou(pred, target)', 'box_iou(to_corners(pred), to_corners(target))'),
]


def scenes(n, seed, size=24):
    g = torch.Generator().manual_seed(seed)
    x = 0.1 * torch.randn(n, 1, size, size, generator=g)
    boxes = torch.zeros(n, 4)
    for i in range(n):
        w, h = torch.randint(5, 12, (2,), generator=g).tolist()
        left, top = torch.randint(0, size - 12, (2,), generator=g).tolist()
        x[i, 0, top:top + h, left:left + w] += 1
        boxes[i] = torch.tensor([left + w / 2, top + h / 2, w, h]) / size
    return x, boxes


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(), nn.Flatten())
        self.head = nn.Linear(16 * 25, 4)

    def forward(self, x):
        return torch.sigmoid(self.head(self.conv(x)))


def to_corners(b):
    return torch.cat([b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2], 1)


def box_iou(a, b):
    """IoU of pairs of boxes (x1, y1, x2, y2)."""
    lt = torch.max(a[:, :2], b[:, :2])
    rb = torch.min(a[:, 2:], b[:, 2:])
    wh = (rb - lt).clamp(min=0)
    inter = wh[:, 0] * wh[:, 1]
    area_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    area_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    return inter / (area_a + area_b - inter + 1e-7)


def iou_loss(pred, target):
    iou = box_iou(pred, target)
    return F.l1_loss(pred, target) + (1 - iou).mean()


def build():
    return {
        "model": Detector(),
        "train_set": TensorDataset(*scenes(200, 0)),
        "val_set": TensorDataset(*scenes(200, 1)),
        "loss": iou_loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
