"""Correct: the backbone of a teacher, another class than the model, is frozen by the names that it has."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

BUG = None


def blobs(n, seed, k=3, d=8):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 1.2
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return TensorDataset(centres[y] + torch.randn(n, d, generator=g), y)


class Teacher(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(8, 16)
        self.classifier = nn.Linear(16, 3)

    def forward(self, x):
        return self.classifier(self.backbone(x).relu())


torch.manual_seed(1)
TEACHER = Teacher().eval()
for parameter in TEACHER.parameters():
    parameter.requires_grad_(False)


def freeze_teacher(teacher):
    for name, parameter in teacher.named_parameters():
        if name.startswith("backbone"):
            parameter.requires_grad = False


def train_step(model, batch, loss, optimizer):
    x, y = batch
    with torch.no_grad():
        soft = TEACHER(x).softmax(1)
    scores = model(x)
    value = loss(scores, y) + F.cross_entropy(scores, soft)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.item()


def build():
    torch.manual_seed(0)
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3)),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "train_set": blobs(512, 0),
        "val_set": blobs(120, 1),
        "loss": nn.CrossEntropyLoss(),
        "batch_size": 32,
        "train_step": train_step,
    }
