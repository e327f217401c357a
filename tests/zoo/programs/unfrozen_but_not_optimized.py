"""The backbone is unfrozen after some steps; the optimizer was built without its parameters.

They get gradients from then on and never move. The parameters have to be added with
``add_param_group`` (or be there from the start).
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "thawed-not-in-optimizer",
    "class": "thawed-not-in-optimizer",
    "rule": "thawed-not-in-optimizer",
    "where": "make_optimizer",
    "also": ["backbone", "FineTuner.unfreeze", "unfreeze", "train_step", "optimizer"],
    "code": "[p for p in model.parameters() if p.requires_grad]",
    "static": False,
    "severity": "error",
    "keywords": ["optimizer", "unfreeze", "unfrozen", "frozen", "backbone", "not in", "missing"],
}
FIX = [
    ('[p for p in model.parameters() if p.requires_grad]', 'model.parameters()'),
]


def rings(n, seed):
    """Is the point of an 8-dimensional space inside, between or outside of two shells?"""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=g)
    r = x[:, :4].norm(dim=1)
    return x, (r > 1.5).long() + (r > 2.2).long()


class FineTuner(nn.Module):
    """A small head first; the whole network, backbone included, from step ``thaw_at`` on."""

    def __init__(self, thaw_at=20):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU())
        self.head = nn.Linear(16, 3)
        self.thaw_at = thaw_at
        self.steps = 0
        self.backbone.requires_grad_(False)

    def unfreeze(self):
        self.backbone.requires_grad_(True)

    def forward(self, x):
        return self.head(self.backbone(x))


def make_optimizer(model):
    return torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=5e-3)


def train_step(model, batch, loss, optimizer):
    model.train()
    if model.steps == model.thaw_at:
        model.unfreeze()
    model.steps += 1
    inputs, target = batch
    optimizer.zero_grad()
    value = loss(model(inputs), target)
    value.backward()
    optimizer.step()
    return value


def build():
    return {
        "model": FineTuner(),
        "train_set": TensorDataset(*rings(1500, 0)),
        "val_set": TensorDataset(*rings(400, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": make_optimizer,
        "train_step": train_step,
        "batch_size": 50,
        "epochs": 10,
    }
