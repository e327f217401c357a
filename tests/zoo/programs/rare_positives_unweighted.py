"""Two percent positives, a plain loss and accuracy: always answering no is right in 98 %."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'seven-c30',
    "class": 'accuracy-of-majority',
    "where": 'train_set',
    "code": 'y = (score > 2.05).float()',
    "static": False,
    "severity": 'warning',
    "keywords": ['imbalanc', 'unbalanced', 'rare', 'majority', 'pos_weight'],
    "rule": 'accuracy-of-majority',
}
FIX = [
    ('score > 2.05', 'score > 0.4'),
]


def claims(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 12, generator=g)
    score = x[:, 0] + 0.3 * torch.randn(n, generator=g)
    y = (score > 2.05).float()
    return TensorDataset(x, y[:, None])


@torch.no_grad()
def evaluate(model, val_set):
    model.eval()
    x, y = val_set.tensors
    accuracy = ((model(x) > 0) == (y > 0.5)).float().mean().item()
    model.train()
    return accuracy


def build():
    return {
        "model": nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": claims(1500, 0),
        "val_set": claims(500, 1),
        "loss": nn.BCEWithLogitsLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "evaluate": evaluate,
    }
