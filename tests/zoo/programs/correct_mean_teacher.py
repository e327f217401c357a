"""Correct: a mean teacher, an average of the student, with dropout as in its paper."""

import copy
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


class MeanTeacher(nn.Module):
    def __init__(self):
        super().__init__()
        self.student = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 4))
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)

    @torch.no_grad()
    def update(self):
        for p, q in zip(self.teacher.parameters(), self.student.parameters()):
            p.lerp_(q, 0.01)

    def forward(self, x):
        if self.training:
            self.update()
        with torch.no_grad():
            soft = self.teacher(x).softmax(1)
        return self.student(x), soft


def loss(out, y):
    logits, soft = out
    return F.cross_entropy(logits, y) + F.mse_loss(logits.softmax(1), soft)


def build():
    return {
        "model": MeanTeacher(),
        "train_set": TensorDataset(*blobs(160, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": loss,
        "make_optimizer": lambda m: torch.optim.Adam(m.student.parameters(), lr=1e-3),
        "batch_size": 32,
    }
