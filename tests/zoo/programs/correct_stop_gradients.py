"""Correct: a straight-through estimator, a target network, metrics and logging without gradients."""

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
        self.body = nn.Linear(16, 32)
        self.online = nn.Sequential(nn.Linear(32, 8), nn.ReLU(), nn.Linear(8, 8))
        self.target = copy.deepcopy(self.online)
        self.head = nn.Linear(32, 4)
        self.acc = 0.0

    def forward(self, x):
        h = F.relu(self.body(x))
        q = h + (torch.round(h) - h).detach()
        with torch.no_grad():
            t = self.target(h)
        self.last = h.detach().cpu().numpy()
        self.acc = self.head(h).argmax(1).float().mean().item()
        gate = (h > 0.1).float()
        return self.head(q * gate) + 0.1 * F.mse_loss(self.online(h), t)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
