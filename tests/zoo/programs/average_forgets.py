"""An average of the weights with its decay the wrong way round."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "loop213",
    "class": 'average-forgets',
    "where": 'average',
    "code": 'kept.mul_',
    "static": False,
    "severity": 'error',
    "keywords": ['average', 'decay'],
    "rule": 'average-forgets',
}
FIX = [
    ('mul_(0.01)', 'mul_(0.99)'),
    ('alpha=0.99', 'alpha=0.01'),
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
        self.online = nn.Linear(16, 4)
        self.average = nn.Linear(16, 4).requires_grad_(False)
        self.average.load_state_dict(self.online.state_dict())

    def forward(self, x):
        return self.online(x) if self.training else self.average(x)


def train_step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    value = loss(model(x), y)
    value.backward()
    optimizer.step()
    with torch.no_grad():
        for kept, new in zip(model.average.parameters(), model.online.parameters()):
            kept.mul_(0.01).add_(new, alpha=0.99)
    return value.detach()


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.online.parameters(), lr=0.1),
        "batch_size": 50,
        "train_step": train_step,
    }
