"""Focal down weighs hard."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'focal-down-weighs-hard',
    'rule': 'hard-samples-lost',
    'class': 'hard-samples-lost',
    'where': 'FocalLoss.forward',
    'code': 'return (pt ** self.gamma * ce).mean()',
    'static': False,
    'severity': 'error',
    'keywords': ['focal', '1 - pt', 'hard', 'easy', 'modulating', 'pt'],
    'also': ['loss'],
}
FIX = [
    ('pt ** self.gamma * ce', '(1 - pt) ** self.gamma * ce'),
]


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y

class FocalLoss(nn.Module):
    def __init__(self, gamma=2.0):
        super().__init__()
        self.gamma = gamma

    def forward(self, logits, target):
        ce = F.cross_entropy(logits, target, reduction="none")
        pt = torch.exp(-ce)
        return (pt ** self.gamma * ce).mean()


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 4)),
        "train_set": TensorDataset(*blobs(300, 0)),
        "val_set": TensorDataset(*blobs(200, 1)),
        "loss": FocalLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
