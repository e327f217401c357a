"""The rate is set as ``optimizer.lr``, which nothing reads: the groups keep theirs."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "rate_set_beside_groups",
    "rule": "attribute-typo",
    "class": "attribute-typo",
    "where": "train_step",
    "code": "optimizer.lr = ",
    "static": True,
    "severity": "error",
    "keywords": ['param_groups', 'no effect', 'lr', 'learning rate'],
}
FIX = [
    ('optimizer.lr = 0.02 * min(1.0, STEP[0] / 20)', "optimizer.param_groups[0]['lr'] = 0.02 * min(1.0, STEP[0] / 20)"),
]


STEP = [0]


def train_step(model, batch, loss, optimizer):
    STEP[0] += 1
    optimizer.lr = 0.02 * min(1.0, STEP[0] / 20)
    x, y = batch
    optimizer.zero_grad()
    value = loss(model(x).squeeze(1), y)
    value.backward()
    optimizer.step()
    return value.detach()


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 3, generator=g) * 2 - 1
    return TensorDataset(x, x.prod(1) * 4)


def build():
    return {"model": nn.Sequential(nn.Linear(3, 64), nn.Tanh(), nn.Linear(64, 1)), "train_set": data(800, 0), "val_set": data(200, 1),
            "loss": nn.MSELoss(), "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3), "train_step": train_step, "batch_size": 80}
