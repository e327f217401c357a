"""Correct: a mask of classes for each image."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = None



def scenes(n, seed):
    x = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    return x, (x[:, 0] > 0.5).long()


def evaluate(model, val_set):
    model.eval()
    right = 0.0
    with torch.no_grad():
        for x, y in DataLoader(val_set, batch_size=64):
            right += (model(x).argmax(1) == y).float().mean(dim=(1, 2)).sum().item()
    return right / len(val_set)


def build():
    return {
        "model": nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1)),
        "train_set": TensorDataset(*scenes(200, 0)),
        "val_set": TensorDataset(*scenes(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "evaluate": evaluate,
    }
