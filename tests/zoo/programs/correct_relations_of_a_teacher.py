"""Correct: a student whose similarities within a batch are to be spread as the teacher's."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

BUG = None


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Student(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        z = F.normalize(self.net(x), dim=1)
        return self.head(z), z


torch.manual_seed(3)
teacher = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 12)).requires_grad_(False).eval()


def train_step(model, batch, loss, optimizer):
    x, y = batch
    logits, z = model(x)
    with torch.no_grad():
        t = F.normalize(teacher(x), dim=1)
    ours = (z @ z.T / 0.2).log_softmax(1)
    theirs = (t @ t.T / 0.2).softmax(1)
    value = F.cross_entropy(logits, y) + F.kl_div(ours, theirs, reduction="batchmean")
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.item()


def build():
    return {
        "model": Student(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
        "train_step": train_step,
    }
