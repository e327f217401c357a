"""Correct: private learning: the gradient of each sample is limited, and noise of a size that its limit asks for is added."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


LIMIT, SIGMA = 1.0, 1.1


def train_step(model, batch, loss, optimizer):
    x, y = batch
    total = [torch.zeros_like(p) for p in model.parameters()]
    shown = 0.0
    for one, right in zip(x, y, strict=True):
        optimizer.zero_grad()
        value = loss(model(one[None]), right[None])
        value.backward()
        shown += value.item() / len(x)
        norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
        for kept, p in zip(total, model.parameters(), strict=True):
            kept.add_(p.grad * (LIMIT / (norm + 1e-6)).clamp(max=1))
    for kept, p in zip(total, model.parameters(), strict=True):
        p.grad = (kept + SIGMA * LIMIT * torch.randn_like(p)) / len(x)
    optimizer.step()
    return shown


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "batch_size": 16,
        "train_step": train_step,
    }
