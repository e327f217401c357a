"""Correct: a loss with weights computed without gradients, running statistics under ``no_grad``."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(16, 4)
        self.register_buffer("ema", torch.zeros(4))

    def forward(self, x):
        out = self.a(x)
        with torch.no_grad():
            if self.training:
                self.ema.mul_(0.9).add_(out.mean(0), alpha=0.1)
        return out - self.ema


def loss(out, y):
    with torch.no_grad():
        weight = 1 - out.softmax(1)[range(len(y)), y]
        weight = weight / weight.sum().item()
    hard = out.argmax(1).eq(y)
    return (F.cross_entropy(out, y, reduction="none") * weight).sum()


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
