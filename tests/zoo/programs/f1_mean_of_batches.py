"""F1 of a rare class as the mean of per-batch F1."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = {
    "id": 'seven-c08',
    "class": 'mean-of-ratios',
    "where": 'evaluate',
    "code": 'scores.append(f1(model(x)[:, 0] > 0, y[:, 0] > 0.5))',
    "static": False,
    "severity": 'warning',
    "keywords": ['batch', 'F1', 'average', 'ratio', 'mean'],
    "rule": 'mean-of-ratios',
}
FIX = [
    ('scores.append(f1(model(x)[:, 0] > 0, y[:, 0] > 0.5))', 'scores.append((model(x)[:, 0] > 0, y[:, 0] > 0.5))'),
    ('return sum(scores) / len(scores)', 'return f1(torch.cat([p for p, _ in scores]), torch.cat([t for _, t in scores]))'),
]


def fraud(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 10, generator=g)
    y = ((x[:, 0] + x[:, 1] * x[:, 2] + 0.5 * torch.randn(n, generator=g)) > 1.2).float()
    return x, y[:, None]


def f1(pred, true):
    tp = (pred & true).sum().item()
    fp = (pred & ~true).sum().item()
    fn = (~pred & true).sum().item()
    return 2 * tp / max(2 * tp + fp + fn, 1)


@torch.no_grad()
def evaluate(model, val_set):
    model.eval()
    scores = []
    for x, y in DataLoader(val_set, batch_size=20):
        scores.append(f1(model(x)[:, 0] > 0, y[:, 0] > 0.5))
    model.train()
    return sum(scores) / len(scores)


def build():
    return {
        "model": nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*fraud(800, 0)),
        "val_set": TensorDataset(*fraud(400, 1)),
        "loss": nn.BCEWithLogitsLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "evaluate": evaluate,
    }
