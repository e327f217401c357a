"""Segmentation: the class is taken over the width, not over the channels."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = {
    "id": 'seven-c05',
    "class": 'answers-misjudged',
    "where": 'pixel_accuracy',
    "code": 'guess = logits.argmax(dim=-1)',
    "static": False,
    "severity": 'error',
    "keywords": ['argmax', 'dim', 'channel', 'class'],
    "rule": 'answers-misjudged',
}
FIX = [
    ('logits.argmax(dim=-1)', 'logits.argmax(dim=1)'),
]


def scenes(n, seed):
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 1, 4, 4, generator=g)
    smooth = F.interpolate(coarse, size=(16, 16), mode="bilinear")
    mask = (smooth[:, 0] * 3).long().clamp(0, 2)
    return smooth + 0.05 * torch.randn(n, 1, 16, 16, generator=g), mask


def pixel_accuracy(logits, mask):
    guess = logits.argmax(dim=-1)
    n, h, w = mask.shape
    guess = guess.reshape(n, -1)[:, : h * w]
    return (guess == mask.reshape(n, -1)[:, : guess.shape[1]]).float().mean()


@torch.no_grad()
def evaluate(model, val_set):
    model.eval()
    scores = [pixel_accuracy(model(x), y) for x, y in DataLoader(val_set, batch_size=25)]
    model.train()
    return torch.stack(scores).mean().item()


def build():
    return {
        "model": nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1)),
        "train_set": TensorDataset(*scenes(200, 0)),
        "val_set": TensorDataset(*scenes(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 25,
        "evaluate": evaluate,
    }
