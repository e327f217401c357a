"""Correct: an ensemble of stacked weights, and a skeleton without numbers that they are put into."""

import copy

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.utils.data import TensorDataset

BUG = None


def mlp():
    return nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 3))


class Ensemble(nn.Module):
    def __init__(self, n=4):
        super().__init__()
        params, _ = stack_module_state([mlp() for _ in range(n)])
        self.p = nn.ParameterDict({k.replace(".", "_"): nn.Parameter(v.detach()) for k, v in params.items()})
        self.skeleton = [copy.deepcopy(mlp()).to("meta")]

    def forward(self, x):
        def one(p, x):
            return functional_call(self.skeleton[0], {k.replace("_", "."): v for k, v in p.items()}, (x,))

        return vmap(one, (0, None))(dict(self.p), x)


def loss(out, y):
    return sum(F.cross_entropy(z, y) for z in out)


def data(n, seed):
    c = torch.randn(3, 10, generator=torch.Generator().manual_seed(7))
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=g)
    return c[y] + torch.randn(n, 10, generator=g), y


def build():
    return {
        "model": Ensemble(),
        "train_set": TensorDataset(*data(600, 0)),
        "val_set": TensorDataset(*data(150, 1)),
        "loss": loss,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=2e-3),
        "batch_size": 50,
    }
