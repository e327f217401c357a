"""A KLDivLoss with its default reduction divides by the number of classes."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "kl-div-mean",
    "rule": "kl-div-mean",
    "class": "kl-div-mean",
    "where": 'loss',
    "code": 'F.kl_div(',
    "static": False,
    "severity": "info",
    "keywords": ['batchmean', 'reduction'],
}
FIX = [
    ('F.softmax(target, 1))', 'F.softmax(target, 1), reduction="batchmean")'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


def taught(n, seed):
    x, y = blobs(n, seed)
    return x, 4 * F.one_hot(y, 4).float()


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


def loss(logits, target):
    return F.kl_div(F.log_softmax(logits, 1), F.softmax(target, 1))


def build():
    return {
        "model": nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 4)),
        **sets(taught),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 32,
    }
