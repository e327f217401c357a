"""Infonce labels zero."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'infonce-labels-zero',
    'rule': 'pairs-mislabelled',
    'class': 'pairs-mislabelled',
    'where': 'clip_loss',
    'code': 'labels = torch.zeros(len(logits), dtype=torch.long)',
    'static': False,
    'severity': 'error',
    'keywords': ['diagonal', 'arange', 'label', 'positive', 'matching', 'constant'],
    'also': ['loss'],
}
FIX = [
    ('torch.zeros(len(logits), dtype=torch.long)', 'torch.arange(len(logits))'),
]


def captions(n, seed, d=16):
    a = torch.randn(6, d, generator=torch.Generator().manual_seed(2))
    b = torch.randn(6, d, generator=torch.Generator().manual_seed(3))
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(n, 6, generator=g)
    return torch.stack([z @ a, z @ b], 1) + 0.3 * torch.randn(n, 2, d, generator=g), torch.zeros(n)


class Clip(nn.Module):
    def __init__(self):
        super().__init__()
        self.image = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 16))
        self.text = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 16))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, x):
        i = F.normalize(self.image(x[:, 0]), dim=-1)
        t = F.normalize(self.text(x[:, 1]), dim=-1)
        return i @ t.T * self.logit_scale.exp()


def clip_loss(logits, _):
    labels = torch.zeros(len(logits), dtype=torch.long)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def build():
    return {
        "model": Clip(),
        "train_set": TensorDataset(*captions(300, 0)),
        "val_set": TensorDataset(*captions(200, 1)),
        "loss": clip_loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
