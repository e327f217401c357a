"""``requires_grad_ = False`` writes over the method in place of calling it: nothing is frozen."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "method_overwritten",
    "rule": "attribute-typo",
    "class": "attribute-typo",
    "where": "freeze",
    "code": "p.requires_grad_ = False",
    "static": True,
    "severity": "error",
    "keywords": ['requires_grad', 'frozen', 'freeze', 'no effect'],
}
FIX = [
    ('p.requires_grad_ = False', 'p.requires_grad_(False)'),
]



def freeze(module):
    for p in module.parameters():
        p.requires_grad_ = False
    return module


def backbone():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(10, 40), nn.Tanh(), nn.Linear(40, 40), nn.Tanh())


def make_model():
    return nn.Sequential(freeze(backbone()), nn.Linear(40, 3))


def make_optimizer(model):
    return torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)


def data(n, seed):
    x = torch.randn(n, 10, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, (x[:, 0] > 0).long() + (x[:, 1] > 0.5).long())


def build():
    return {"model": make_model(), "train_set": data(500, 0), "val_set": data(200, 1), "loss": nn.CrossEntropyLoss(),
            "make_optimizer": make_optimizer, "batch_size": 50}
