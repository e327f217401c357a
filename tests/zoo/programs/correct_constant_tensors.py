"""Correct: constants and class weights as plain tensors on the CPU, a projection with a seed."""

import torch
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
        self.freqs = torch.arange(1, 9).float()
        self.mean = torch.tensor([0.1] * 16)
        g = torch.Generator().manual_seed(0)
        self.proj = torch.randn(16, 16, generator=g)
        self.class_weights = torch.ones(4)
        self.head = nn.Linear(16, 4)
        self.steps = torch.tensor(0)

    def forward(self, x):
        self.last = x
        return self.head((x - self.mean) @ self.proj) * self.class_weights + self.freqs.sum() * 0


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
