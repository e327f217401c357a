"""Correct: weights that fit already are tuned at a small rate, with strong clipping and a warm-up."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def trained():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(16, 32), nn.LayerNorm(32), nn.GELU(), nn.Dropout(0.3), nn.Linear(32, 4))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    x, y = blobs(600, 5)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return net


def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    value = loss(model(x), y)
    value.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    optimizer.step()
    return value.detach()


def build():
    return {
        "model": trained(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.AdamW(model.parameters(), lr=2e-5, weight_decay=0.01),
        "make_scheduler": lambda optimizer: torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=5),
        "batch_size": 50,
        "epochs": 10,
        "train_step": train_step,
        "deep": True,
    }
