"""Simsiam without stop gradient."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'simsiam-without-stop-gradient',
    'rule': 'nothing-forbids-collapse',
    'class': 'nothing-forbids-collapse',
    'where': 'simsiam',
    'code': 'return -F.cosine_similarity(p1, z2, dim=1).mean()',
    'static': False,
    'severity': 'error',
    'keywords': ['collaps', 'detach', 'stop-gradient', 'stop gradient', 'constant'],
    'also': ['loss', 'SimSiam'],
}
FIX = [
    ('F.cosine_similarity(p1, z2, dim=1)', 'F.cosine_similarity(p1, z2.detach(), dim=1)'),
]


def views(n, seed, d=16):
    basis = torch.randn(6, d, generator=torch.Generator().manual_seed(2))
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(n, 6, generator=g) @ basis
    a = z + 0.3 * torch.randn(n, d, generator=g)
    b = z + 0.3 * torch.randn(n, d, generator=g)
    return torch.stack([a, b], 1), torch.zeros(n)



class SimSiam(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 16))
        self.h = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 16))

    def forward(self, x):
        z1, z2 = self.f(x[:, 0]), self.f(x[:, 1])
        return self.h(z1), z2


def simsiam(out, _):
    p1, z2 = out
    return -F.cosine_similarity(p1, z2, dim=1).mean()


def build():
    return {
        "model": SimSiam(),
        "train_set": TensorDataset(*views(300, 0)),
        "val_set": TensorDataset(*views(200, 1)),
        "loss": simsiam,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
