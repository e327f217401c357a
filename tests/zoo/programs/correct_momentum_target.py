"""Correct: BYOL's target network, detached, and a probe on detached features."""

import copy

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
        self.online = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 8))
        self.momentum_encoder = copy.deepcopy(self.online)
        self.predictor = nn.Linear(8, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        p = self.predictor(self.online(x))
        z = self.momentum_encoder(x).detach()
        return self.head(self.online(x).detach()), p, z


def loss(out, y):
    return F.cross_entropy(out[0], y) - F.cosine_similarity(out[1], out[2]).mean()


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
