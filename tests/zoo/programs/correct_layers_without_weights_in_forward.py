"""Correct: layers without weights made in ``forward``; one with weights that a dry run makes before the optimizer."""

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


class Swish(nn.Module):
    def forward(self, x):
        return x * x.sigmoid()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = None
        self.head = nn.Linear(16, 4)

    def make_it(self, d):
        self.proj = nn.Linear(d, 16)

    def forward(self, x):
        if self.proj is None:
            self.make_it(x.shape[1])
        x = nn.ReLU()(self.proj(x))
        x = nn.LayerNorm(16, elementwise_affine=False)(x) + nn.Identity()(x)
        m = nn.Softmax(dim=1)(x)
        return self.head(Swish()(x) * m) + 0 * nn.MSELoss()(x, x)


def make(model):
    model(blobs(4, 0)[0])
    return torch.optim.Adam(model.parameters(), lr=1e-2)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": make,
        "batch_size": 50,
    }
