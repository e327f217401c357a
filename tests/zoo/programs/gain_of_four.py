"""Each of seven layers starts with a gain of four: activations grow a thousandfold."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "gain_of_four",
    "rule": "init-too-large",
    "class": "exploding",
    "where": "residual_net",
    "code": "nn.init.orthogonal_(lin.weight, gain=4.0)",
    "static": False,
    "severity": "error",
    "keywords": ['explod', 'init', 'gain', 'large', 'scale'],
    "also": ['dense', '0.0', 'model'],
}
FIX = [
    ('gain=4.0', 'gain=1.4'),
]



def dense(i, o):
    lin = nn.Linear(i, o)
    nn.init.orthogonal_(lin.weight, gain=4.0)
    return nn.Sequential(lin, nn.ReLU())


def data(n, seed):
    x = torch.randn(n, 16, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, x[:, :1] * x[:, 1:2] + x[:, 2:3])


def build():
    body = [dense(16, 32)] + [dense(32, 32) for _ in range(6)]
    return {"model": nn.Sequential(*body, nn.Linear(32, 1)), "train_set": data(800, 0), "val_set": data(200, 1), "loss": nn.MSELoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3), "batch_size": 80}
