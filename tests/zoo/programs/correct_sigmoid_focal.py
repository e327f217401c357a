"""Correct: the focal loss of sigmoids, which favours hard samples, with alpha."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def tags(n, seed, d=12, k=5):
    w = torch.randn(d, k, generator=torch.Generator().manual_seed(4))
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, (x @ w > 1).float()


def focal(logits, y, alpha=0.25, gamma=2.0):
    p = torch.sigmoid(logits)
    ce = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
    pt = p * y + (1 - p) * (1 - y)
    a = alpha * y + (1 - alpha) * (1 - y)
    return (a * (1 - pt) ** gamma * ce).mean()


def build():
    return {
        "model": nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 5)),
        "train_set": TensorDataset(*tags(300, 0)),
        "val_set": TensorDataset(*tags(200, 1)),
        "loss": focal,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
