"""A training step of the user's own without ``zero_grad()``: the gradients of all steps add up.

On Karpathy's list of the most common mistakes.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "case41",
    "class": "gradients-accumulate",
    "where": "train_step: zero_grad",
    "code": "def train_step(model, batch, loss, optimizer)",
    "static": True,
    "severity": "error",
    "keywords": ["zero_grad", "accumulat", "gradient"],
}
FIX = [
    ('    value.backward()\n', '    optimizer.zero_grad()\n    value.backward()\n'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def train_step(model, batch, loss, optimizer):
    x, y = batch
    value = loss(model(x), y)
    value.backward()
    optimizer.step()
    return value


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.3),
        "batch_size": 50,
        "train_step": train_step,
    }
