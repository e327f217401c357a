"""Flow without logdet."""

import math

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'flow-without-logdet',
    'rule': 'log-determinant',
    'class': 'log-determinant',
    'where': 'nll',
    'code': 'return -log_pz.mean()',
    'static': False,
    'severity': 'error',
    'keywords': ['log_det', 'determinant', 'logdet', 'jacobian', 'change of variables'],
    'also': ['loss', 'Flow'],
}
FIX = [
    ('-log_pz.mean()', '-(log_pz + logdet).mean()'),
]


def moons(n, seed):
    g = torch.Generator().manual_seed(seed)
    t = torch.rand(n, generator=g) * math.pi
    s = (torch.rand(n, generator=g) > 0.5).float()
    x = torch.stack([t.cos() * (1 - 2 * s) + s, t.sin() * (1 - 2 * s) + 0.5 * s], 1)
    return (x + 0.1 * torch.randn(n, 2, generator=g), torch.zeros(n))


class Coupling(nn.Module):
    def __init__(self, flip):
        super().__init__()
        self.flip = flip
        self.net = nn.Sequential(nn.Linear(1, 32), nn.ReLU(), nn.Linear(32, 2))

    def forward(self, x):
        x1, x2 = x[:, :1], x[:, 1:]
        if self.flip:
            x1, x2 = x2, x1
        s, t = self.net(x1).chunk(2, 1)
        s = torch.tanh(s)
        x2 = x2 * torch.exp(s) + t
        y = torch.cat([x2, x1], 1) if self.flip else torch.cat([x1, x2], 1)
        return y, s.sum(1)


class Flow(nn.Module):
    def __init__(self, depth=4):
        super().__init__()
        self.layers = nn.ModuleList(Coupling(i % 2 == 0) for i in range(depth))

    def forward(self, x):
        logdet = torch.zeros(x.shape[0])
        for layer in self.layers:
            x, ld = layer(x)
            logdet = logdet + ld
        return x, logdet


def nll(out, _):
    z, logdet = out
    log_pz = -0.5 * (z ** 2).sum(1) - math.log(2 * math.pi)
    return -log_pz.mean()


def build():
    return {
        "model": Flow(),
        "train_set": TensorDataset(*moons(300, 0)),
        "val_set": TensorDataset(*moons(200, 1)),
        "loss": nll,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
