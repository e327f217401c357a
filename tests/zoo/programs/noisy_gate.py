"""The noise of a gate is drawn in evaluation too."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "noisy_gate",
    "rule": "noise-in-eval",
    "class": "mode-ignored",
    "where": "NoisyTopK.forward",
    "code": "noise = torch.empty_like(clean).normal_()",
    "static": True,
    "severity": "error",
    "keywords": ['noise', 'eval', 'training', 'random'],
}
FIX = [
    ('noise = torch.empty_like(clean).normal_()', 'noise = torch.empty_like(clean).normal_() * self.training'),
]



class NoisyTopK(nn.Module):
    def __init__(self, d, n):
        super().__init__()
        self.gate, self.scale = nn.Linear(d, n, bias=False), nn.Linear(d, n, bias=False)

    def forward(self, x):
        clean = self.gate(x)
        noise = torch.empty_like(clean).normal_()
        return (clean + noise * nn.functional.softplus(self.scale(x))).softmax(-1)


class MoE(nn.Module):
    def __init__(self, d=8, n=4):
        super().__init__()
        self.router = NoisyTopK(d, n)
        self.experts = nn.ModuleList([nn.Sequential(nn.Linear(d, 16), nn.ReLU(), nn.Linear(16, 1)) for _ in range(n)])

    def forward(self, x):
        return (self.router(x) * torch.cat([e(x) for e in self.experts], 1)).sum(1)


def piecewise(n, seed):
    x = torch.randn(n, 8, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, torch.where(x[:, 0] > 0, x[:, 1] * 2, x[:, 2] - x[:, 3]))


def build():
    return {"model": MoE(), "train_set": piecewise(800, 0), "val_set": piecewise(200, 1), "loss": nn.MSELoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3), "batch_size": 80}
