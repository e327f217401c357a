"""A distillation loss at a temperature of 4 without the factor 16."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "temperature-not-squared",
    "rule": "temperature-not-squared",
    "class": "temperature-not-squared",
    "where": 'kl_div',
    "code": 'F.kl_div(',
    "static": False,
    "severity": "warning",
    "keywords": ['temperature', 'T'],
}
FIX = [
    ('reduction="batchmean")', 'reduction="batchmean") * T * T'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


T = 4.0


def teach(n, seed):
    x, y = blobs(n, seed)
    centre = torch.randn(4, 10, generator=torch.Generator().manual_seed(99)) * 1.5
    return x, torch.cat([-torch.cdist(x, centre), y[:, None].float()], 1)


def criterion(student, target):
    teacher, labels = target[:, :4], target[:, 4].long()
    soft = F.kl_div(F.log_softmax(student / T, 1), F.softmax(teacher / T, 1), reduction="batchmean")
    return 0.5 * F.cross_entropy(student, labels) + 0.5 * soft


def build():
    model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 4))
    return {"model": model, **sets(teach), "loss": criterion, "batch_size": 50,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3)}
