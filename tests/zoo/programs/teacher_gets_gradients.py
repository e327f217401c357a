"""The teacher of a distillation is trained along by the student's loss."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "teacher_gets_gradients",
    "rule": "teacher-trains",
    "class": "teacher-trains",
    "where": "teacher",
    "code": "t = self.teacher(x)",
    "static": True,
    "severity": "error",
    "keywords": ["teacher", "gradient"],
}
FIX = [
    ("t = self.teacher(x)", "t = self.teacher(x).detach()"),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.teacher = nn.Linear(16, 4)
        self.student = nn.Linear(16, 4)

    def forward(self, x):
        t = self.teacher(x)
        return self.student(x), t


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": lambda o, y: F.cross_entropy(o[0], y) + F.mse_loss(o[0], o[1]),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
