"""Correct: the noise that forward adds is what the score is held against, in evaluation too."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


class Score(nn.Module):
    def __init__(self):
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(2, 64), nn.Softplus(), nn.Linear(64, 1))

    def forward(self, x):
        return self.energy(x).squeeze(1)


class Denoising(nn.Module):
    def __init__(self, model, sigma=0.3):
        super().__init__()
        self.model, self.sigma = model, sigma

    def forward(self, x):
        with torch.enable_grad():
            noise = torch.randn_like(x) * self.sigma
            y = (x + noise).requires_grad_()
            score = -torch.autograd.grad(self.model(y).sum(), y, create_graph=True)[0]
        return ((score + noise / self.sigma**2) ** 2).sum(1) / 2


def build():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(600, 2, generator=g).sign() + 0.1 * torch.randn(600, 2, generator=g)
    return {
        "model": Denoising(Score()),
        "train_set": TensorDataset(x[:500]),
        "val_set": TensorDataset(x[500:]),
        "loss": lambda out, _: out.mean(),
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
        "batch_size": 50,
    }
