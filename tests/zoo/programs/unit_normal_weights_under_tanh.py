"""Weights drawn from N(0, 1) whatever the fan-in: every tanh unit is saturated from the start."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "saturated-units",
    "class": "saturated-units",
    "rule": "saturated-units",
    "where": "init_weights",
    "also": ["Regressor.layers", "layers"],
    "code": "nn.init.normal_(module.weight, std=1.0)",
    "static": False,
    "severity": "error",
    "keywords": ["init", "saturat", "large", "std", "scale", "variance"],
}
FIX = [
    ('nn.init.normal_(module.weight, std=1.0)', 'nn.init.normal_(module.weight, std=module.in_features ** -0.5)'),
]


def robot_arm(n, seed, links=64):
    """The height of the tip, seen through 64 noisy mixtures of three joint angles."""
    mixing = torch.randn(3, links, generator=torch.Generator().manual_seed(8))
    g = torch.Generator().manual_seed(seed)
    joint = torch.rand(n, 3, generator=g) * 2 - 1
    height = torch.sin(2 * joint[:, 0]) + 0.7 * torch.sin(2 * joint[:, :2].sum(1)) - 0.4 * joint[:, 2]
    sensors = joint @ mixing + 0.2 * torch.randn(n, links, generator=g)
    return sensors, height[:, None]


def init_weights(module):
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=1.0)
        nn.init.zeros_(module.bias)


class Regressor(nn.Module):
    def __init__(self, widths=(64, 128, 128, 64)):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))
        self.tip = nn.Linear(widths[-1], 1)
        self.apply(init_weights)

    def forward(self, sensors):
        h = sensors
        for layer in self.layers:
            h = layer(h).tanh()
        return self.tip(h)


def build():
    return {
        "model": Regressor(),
        "train_set": TensorDataset(*robot_arm(1200, 0)),
        "val_set": TensorDataset(*robot_arm(300, 1)),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 60,
    }
