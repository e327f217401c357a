"""Correct: gradients of single samples by vmap, clipped, noised and handed to the optimizer."""

import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.utils.data import TensorDataset

BUG = None


def train_step(model, batch, loss, optimizer):
    x, y = batch
    params = {k: p.detach() for k, p in model.named_parameters()}

    def one(p, a, b):
        return loss(functional_call(model, p, (a[None],)), b[None])

    grads = vmap(grad(one), (None, 0, 0))(params, x, y)
    norm = torch.stack([g.flatten(1).norm(dim=1) for g in grads.values()]).norm(dim=0)
    scale = (1.0 / (norm + 1e-6)).clamp(max=1)
    for k, p in model.named_parameters():
        g = torch.einsum("b,b...->...", scale, grads[k]) + 0.3 * torch.randn_like(p)
        p.grad = g / len(x)
    optimizer.step()
    optimizer.zero_grad()
    with torch.no_grad():
        return loss(model(x), y)


def blobs(n, seed):
    c = torch.randn(3, 10, generator=torch.Generator().manual_seed(7))
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=g)
    return c[y] + 0.8 * torch.randn(n, 10, generator=g), y


def build():
    return {
        "model": nn.Sequential(nn.Linear(10, 24), nn.Tanh(), nn.Linear(24, 3)),
        "train_set": TensorDataset(*blobs(800, 0)),
        "val_set": TensorDataset(*blobs(200, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.3, momentum=0.5),
        "batch_size": 100,
        "train_step": train_step,
    }
