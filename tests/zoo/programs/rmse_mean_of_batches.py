"""The RMSE of the validation set is taken as the mean of the RMSEs of its batches."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = {
    "id": 'seven-c07',
    "class": 'mean-of-ratios',
    "where": 'evaluate',
    "code": 'rmse.append(F.mse_loss(model(x), y).sqrt().item())',
    "static": False,
    "severity": 'warning',
    "keywords": ['root', 'sqrt', 'batch', 'mean of'],
    "rule": 'mean-of-ratios',
}
FIX = [
    ('F.mse_loss(model(x), y).sqrt().item()', 'F.mse_loss(model(x), y).item()'),
    ('return sum(rmse) / len(rmse)', 'return (sum(rmse) / len(rmse)) ** 0.5'),
]


def houses(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=g)
    y = (x[:, :1] * x[:, 1:2] + x[:, 2:3].tanh()) + 0.3 * torch.randn(n, 1, generator=g).pow(3)
    return x, y


@torch.no_grad()
def evaluate(model, val_set):
    model.eval()
    rmse = []
    for x, y in DataLoader(val_set, batch_size=10):
        rmse.append(F.mse_loss(model(x), y).sqrt().item())
    model.train()
    return sum(rmse) / len(rmse)


def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*houses(600, 0)),
        "val_set": TensorDataset(*houses(300, 1)),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "evaluate": evaluate,
    }
