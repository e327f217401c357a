"""Sequences are padded by the data set, and the mean over time counts the padding."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "data739",
    "class": "padding-counts",
    "where": "padding",
    "code": "self.embed(x).mean(1)",
    "static": False,
    "severity": "error",
    "keywords": ["padding"],
    "rule": "padding-counts",
}
FIX = [
    ("self.embed(x).mean(1)", "self.embed(x).mul((x > 0).unsqueeze(2)).sum(1) / (x > 0).sum(1, keepdim=True)"),
]


g = torch.Generator().manual_seed(0)
sizes = torch.randint(3, 20, (600,), generator=g)
x = torch.randint(1, 30, (600, 24), generator=g) * (torch.arange(24) < sizes[:, None])
y = (((x > 0) & (x < 15)).sum(1) * 2 > sizes).long()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(30, 16)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        return self.head(self.embed(x).mean(1))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(x[:450], y[:450]),
        "val_set": TensorDataset(x[450:], y[450:]),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
