"""Windows of two chaotic series, which come near each other without sharing a sample."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def delayed(length, seed):
    """The delay equation of Mackey and Glass, standardised."""
    g = torch.Generator().manual_seed(seed)
    x = (0.9 + 0.4 * torch.rand(18, generator=g)).tolist()
    for _ in range(length + 300):
        x.append(0.9 * x[-1] + 0.2 * x[-18] / (1 + x[-18] ** 10))
    return (torch.tensor(x[-length:]) - 0.92) / 0.23


def windows(n, seed, width=20, ahead=4):
    series = delayed(n + width + ahead, seed)
    inputs = series.unfold(0, width, 1)[:n]
    return TensorDataset(inputs, series[width + ahead - 1 : width + ahead - 1 + n].unsqueeze(1))


def build():
    return {
        "model": nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1)),
        "train_set": windows(1500, 1),
        "val_set": windows(400, 2),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
        "epochs": 10,
    }
