"""Smoothing by hand sums above one."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'smoothing-by-hand-sums-above-one',
    'rule': 'soft-targets-sum',
    'class': 'soft-targets-sum',
    'where': 'smooth_ce',
    'code': 'soft = F.one_hot(y, 4) * (1 - eps) + eps',
    'static': False,
    'severity': 'warning',
    'keywords': ['smooth', 'sum', 'distribution', '1', 'classes'],
    'also': ['loss'],
}
FIX = [
    ('* (1 - eps) + eps', '* (1 - eps) + eps / 4'),
]


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y

def smooth_ce(logits, y, eps=0.1):
    soft = F.one_hot(y, 4) * (1 - eps) + eps
    return -(soft * F.log_softmax(logits, 1)).sum(1).mean()


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 4)),
        "train_set": TensorDataset(*blobs(300, 0)),
        "val_set": TensorDataset(*blobs(200, 1)),
        "loss": smooth_ce,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
