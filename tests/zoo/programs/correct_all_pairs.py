"""Correct: a batch is held against itself, label by label: every sample meets every other on purpose."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 16))

    def forward(self, x):
        return F.normalize(self.net(x), dim=1)


def batch_hard(z, y, margin=0.3):
    d = torch.cdist(z, z)
    same = y[:, None] == y
    far = (d * same).amax(1)
    near = d.masked_fill(same, float("inf")).amin(1)
    return F.relu(far - near + margin).mean()


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(200, 1)),
        "loss": batch_hard,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
        "batch_size": 48,
    }
