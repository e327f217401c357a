"""Timestamps are kept in float32; the time of the day that __getitem__ makes of them is rounded to two minutes."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": 'seven-c20',
    "class": 'ids-rounded',
    "where": 'Sensor',
    "code": 'self.t = torch.tensor(stamps, dtype=torch.float32)',
    "static": False,
    "severity": 'error',
    "keywords": ['float32', 'precision', 'resolution', 'rounding', 'timestamp', 'float64'],
    "rule": 'ids-rounded',
}
FIX = [
    ('torch.tensor(stamps, dtype=torch.float32)', 'torch.tensor(stamps, dtype=torch.float64)'),
]


class Sensor(Dataset):
    def __init__(self, n, seed):
        rng = np.random.default_rng(seed)
        stamps = 1_650_000_000 + rng.integers(0, 5_000_000, n)
        self.t = torch.tensor(stamps, dtype=torch.float32)
        phase = (stamps % 300) / 300 * 2 * np.pi
        self.level = torch.tensor(np.sin(phase) + 0.1 * rng.normal(size=n), dtype=torch.float32)

    def __len__(self):
        return len(self.t)

    def __getitem__(self, i):
        angle = self.t[i] % 300 / 300 * 2 * torch.pi
        return torch.stack([angle.sin(), angle.cos()]).float(), self.level[i : i + 1]


def build():
    return {
        "model": nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 1)),
        "train_set": Sensor(800, 0),
        "val_set": Sensor(200, 1),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
