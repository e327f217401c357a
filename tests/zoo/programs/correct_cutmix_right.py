"""Correct: CutMix whose labels weigh as the area that was pasted."""

import math

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def textures(n, seed, k=4, size=16):
    base = torch.randn(k, 1, size, size, generator=torch.Generator().manual_seed(1))
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return base[y] + 0.5 * torch.randn(n, 1, size, size, generator=g), y


def train_step(model, batch, loss, optimizer):
    x, y = batch
    lam = float(torch.distributions.Beta(1.0, 1.0).sample())
    perm = torch.randperm(len(x))
    H, W = x.shape[2:]
    h, w = int(H * math.sqrt(1 - lam)), int(W * math.sqrt(1 - lam))
    top, left = int(torch.randint(0, H - h + 1, (1,))), int(torch.randint(0, W - w + 1, (1,)))
    mixed = x.clone()
    mixed[:, :, top:top + h, left:left + w] = x[perm][:, :, top:top + h, left:left + w]
    lam = 1 - h * w / (H * W)
    out = model(mixed)
    value = lam * loss(out, y) + (1 - lam) * loss(out, y[perm])
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value


def build():
    return {
        "model": nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(392, 4)),
        "train_set": TensorDataset(*textures(300, 0)),
        "val_set": TensorDataset(*textures(200, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
        "train_step": train_step,
    }
