"""A teacher with dropout in train mode."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "teacher-in-train",
    "rule": "teacher-in-train",
    "class": "teacher-in-train",
    "where": 'teacher',
    "code": 'soft = teacher(x)',
    "static": False,
    "severity": "warning",
    "keywords": ['train mode', 'eval', 'dropout', 'teacher'],
}
FIX = [
    ('teacher = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 4))', 'teacher = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 4)).eval()'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


def build():
    model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 4))
    teacher = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 4))

    def train_step(model, batch, loss, optimizer):
        x, y = batch
        with torch.no_grad():
            soft = teacher(x)
        out = model(x)
        value = loss(out, y) + F.mse_loss(out, soft)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value.item()

    return {"model": model, **sets(blobs), "loss": nn.CrossEntropyLoss(), "batch_size": 50, "train_step": train_step,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3)}
