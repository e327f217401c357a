"""PoissonNLLLoss takes the logarithm of the rate by default, and the model gives rates.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "poisson-log-input",
    "class": "poisson-log-input",
    "rule": "poisson-log-input",
    "where": "Net.forward: exp",
    "code": "self.net(x).exp()",
    "static": False,
    "severity": "error",
    "keywords": ["log_input", "PoissonNLLLoss"],
}
FIX = [
    ('self.net(x).exp()', 'self.net(x)'),
]


def counts(n, seed, d=8):
    """Counts with a rate that depends on the input."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, torch.poisson((x @ torch.linspace(-0.5, 0.5, d)).exp(), generator=g)[:, None]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x):
        return self.net(x).exp()


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*counts(600, 0)),
        "val_set": TensorDataset(*counts(300, 1)),
        "loss": nn.PoissonNLLLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
