"""Correct: raw pixels, and a model that normalises them."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None



def digits(n, seed, k=10):
    """8x8 glyphs in 0..1: ``k`` fixed strokes, moved by up to one pixel, with noise."""
    glyphs = (torch.rand(k, 6, 6, generator=torch.Generator().manual_seed(3)) > 0.55).float()
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    x = torch.zeros(n, 1, 8, 8)
    for i in range(n):
        r, c = torch.randint(0, 3, (2,), generator=g).tolist()
        x[i, 0, r:r + 6, c:c + 6] = glyphs[y[i]]
    return (x * 0.8 + 0.2 * torch.rand(x.shape, generator=g)).clamp(0, 1), y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor(64.0))
        self.register_buffer("std", torch.tensor(80.0))
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, x):
        return self.body((x - self.mean) / self.std)


def pixels(n, seed):
    x, y = digits(n, seed)
    return x * 255, y


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*pixels(600, 0)),
        "val_set": TensorDataset(*pixels(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 50,
    }
