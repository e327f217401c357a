"""A multiplier of a constraint that climbs by hand every ten steps, on its gradients added up."""

import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset, TensorDataset

BUG = None


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
        self.price = nn.Parameter(torch.tensor(0.1))

    def forward(self, x):
        return self.net(x)


class Step:
    def __init__(self):
        self.steps = 0

    def __call__(self, model, batch, loss, optimizer):
        x, y = batch
        logits = model(x)
        size = logits.square().mean()
        value = loss(logits, y) + model.price * (size - 4.0)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        self.steps += 1
        if self.steps % 10 == 0:
            with torch.no_grad():
                model.price.add_(model.price.grad, alpha=0.01).clamp_(min=0)
            model.price.grad = None
        return value.item()


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.net.parameters(), lr=1e-3),
        "batch_size": 50,
        "train_step": Step(),
    }
