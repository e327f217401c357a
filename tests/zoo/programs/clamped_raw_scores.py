"""Raw scores are clamped into 0..1 as if they were probabilities."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "clamped_raw_scores",
    "rule": "raw-scores-into-bce",
    "class": "loss-activation-mismatch",
    "where": "log_loss",
    "code": "p = out.clamp(1e-6, 1 - 1e-6)",
    "static": False,
    "severity": "error",
    "keywords": ['sigmoid', 'logits', 'probabilit', 'clamp'],
    "also": ['model'],
}
FIX = [
    ('p = out.clamp(1e-6, 1 - 1e-6)', 'p = out.sigmoid().clamp(1e-6, 1 - 1e-6)'),
]



def log_loss(out, y):
    p = out.clamp(1e-6, 1 - 1e-6)
    return -(y * p.log() + (1 - y) * (1 - p).log()).mean()


def data(n, seed):
    x = torch.randn(n, 9, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, (x[:, 0] + 0.5 * x[:, 1] > 0.2).float()[:, None])


def build():
    return {"model": nn.Sequential(nn.Linear(9, 24), nn.ReLU(), nn.Linear(24, 1)), "train_set": data(600, 0), "val_set": data(200, 1),
            "loss": log_loss, "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3), "batch_size": 60}
