"""Correct: layers in a list that are registered by hand, activations in a dict, a reference to itself."""

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


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(16, 16) for _ in range(2)]
        for i, layer in enumerate(self.layers):
            self.add_module(f"layer{i}", layer)
        self.acts = {"relu": nn.ReLU(), "tanh": nn.Tanh()}
        self.order = nn.ModuleList([nn.Linear(16, 4)])
        self.me = [self]

    def forward(self, x):
        for l in self.layers:
            x = self.acts["relu"](l(x))
        return self.order[0](x)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
