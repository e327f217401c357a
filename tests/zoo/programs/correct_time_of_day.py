"""Correct: unix time as float64 until its remainder is taken, a slow trend of it in float32, and balanced drawing."""

import math

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = None


class Sensor(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        stamps = 1_650_000_000 + torch.randint(0, 5_000_000, (n,), generator=g)
        self.t = stamps.double()
        self.when = stamps.float()
        phase = (stamps % 300).double() / 300 * 2 * math.pi
        self.level = (phase.sin() + 0.1 * torch.randn(n, generator=g)).float()

    def __len__(self):
        return len(self.t)

    def __getitem__(self, i):
        angle = self.t[i] % 300 / 300 * 2 * math.pi
        trend = (self.when[i] - 1_650_000_000) / 5_000_000
        return torch.stack([angle.sin(), angle.cos(), trend.double()]).float(), self.level[i : i + 1]


def build():
    return {
        "model": nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 1)),
        "train_set": Sensor(600, 0),
        "val_set": Sensor(200, 1),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
