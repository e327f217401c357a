"""Parameter groups for weight decay are built, and the group without decay is forgotten.

No bias and no norm is given to the optimizer. The idiom is that of huggingface/transformers#492
(``no_decay``), cut in half.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "case08",
    "class": "optimizer-missing-params",
    "where": "make_optimizer",
    "code": "decay = [p for n, p in model.named_parameters() if p.ndim > 1]",
    "static": False,
    "severity": "error",
    "keywords": ["bias", "optimizer", "not in", "missing"],
}
FIX = [
    (' if p.ndim > 1]', ']'),
]


def line(n, seed, d=8, offset=0.0):
    """A linear regression with a little noise."""
    w = torch.linspace(-1, 1, d)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, x @ w + offset + 0.1 * torch.randn(n, generator=g)


def targets(n, seed):
    x, y = line(n, seed, offset=30.0)
    return x, y[:, None]


def make_optimizer(model):
    decay = [p for n, p in model.named_parameters() if p.ndim > 1]
    return torch.optim.AdamW([{"params": decay, "weight_decay": 0.01}], lr=2e-2)


def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*targets(600, 0)),
        "val_set": TensorDataset(*targets(300, 1)),
        "loss": nn.MSELoss(),
        "make_optimizer": make_optimizer,
        "batch_size": 50,
    }
