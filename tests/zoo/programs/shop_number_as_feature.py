"""The number of a shop is read as if it were a measurement."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "data736",
    "class": "id-as-number",
    "where": "train_set: input 5",
    "code": "shop[:, None]",
    "static": False,
    "severity": "warning",
    "keywords": ["id"],
    "rule": "id-as-number",
}
FIX = [
    ("effect = torch.randn(40, generator=g)", "effect = torch.linspace(-2, 2, 40)"),
]


g = torch.Generator().manual_seed(0)
shop = torch.randint(0, 40, (600,), generator=g)
effect = torch.randn(40, generator=g)
x = torch.cat([torch.randn(600, 5, generator=g), shop[:, None] / 20 - 1], 1)
y = (effect[shop] + 0.2 * x[:, 0] + 0.1 * torch.randn(600, generator=g)).unsqueeze(1)


def build():
    return {
        "model": nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(x[:450], y[:450]),
        "val_set": TensorDataset(x[450:], y[450:]),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
