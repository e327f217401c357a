"""Correct: attributes whose names are near to those of torch."""

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
        self.body = nn.Linear(16, 32)
        self.head = nn.Linear(32, 4)
        self.weights = torch.ones(4)
        self.bases, self.date, self.lr_, self.datas, self.base = 1, 2, 3, 4, 5
        self.grads = []
        self.body.requires_grad_(False)
        self.height, self.trained, self.train_data = 3, False, None
        self.eps, self.step_count, self.gate = 1, 2, 3
        for p in self.head.parameters():
            p.requires_grad = True
            p.is_head = True

    def forward(self, x):
        return self.head(F.relu(self.body(x)))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
