"""A norm is the default of a dataclass field: all layers of all models have one."""

from dataclasses import dataclass
import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "dataclass_default_module",
    "rule": "mutable-default",
    "class": "shared-state",
    "where": "Config",
    "code": "norm: nn.Module = nn.LayerNorm(24)",
    "static": True,
    "severity": "error",
    "keywords": ['shared', 'default', 'same', 'one object'],
    "also": ['norm', 'Layer'],
}
FIX = [
    ('norm: nn.Module = nn.LayerNorm(24)', 'norm: type = nn.LayerNorm'),
    ('self.norm = cfg.norm', 'self.norm = cfg.norm(24)'),
]



@dataclass(eq=False)
class Config:
    width: int = 24
    norm: nn.Module = nn.LayerNorm(24)


class Layer(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.norm = cfg.norm
        self.lin = nn.Linear(cfg.width, cfg.width)

    def forward(self, x):
        return x + torch.relu(self.lin(self.norm(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inp = nn.Linear(6, 24)
        self.layers = nn.ModuleList([Layer(Config()) for _ in range(3)])
        self.out = nn.Linear(24, 1)

    def forward(self, x):
        x = self.inp(x)
        for l in self.layers:
            x = l(x)
        return self.out(x)


def make(n, seed):
    x = torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, x[:, :1].abs() + x[:, 1:2])


def build():
    return {"model": Net(), "train_set": make(600, 0), "val_set": make(200, 1), "loss": nn.MSELoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=2e-3), "batch_size": 50}
