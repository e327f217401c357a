"""KLDivLoss with log-probabilities as its target and log_target=False.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "kl-div-target",
    "class": "kl-div-target",
    "rule": "kl-div-target",
    "where": "loss: kl_div",
    "code": "F.kl_div(",
    "static": False,
    "severity": "error",
    "keywords": ["log_target", "log-probabilities"],
}
FIX = [
    ('target.log(), reduction="batchmean")', 'target, reduction="batchmean")'),
]


def soft(n, seed):
    """Targets that are distributions over four classes."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 16, generator=g)
    return x, torch.softmax(3 * x[:, :4], dim=1)


def loss(scores, target):
    return F.kl_div(F.log_softmax(scores, dim=1), target.log(), reduction="batchmean")


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": TensorDataset(*soft(600, 0)),
        "val_set": TensorDataset(*soft(300, 1)),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
