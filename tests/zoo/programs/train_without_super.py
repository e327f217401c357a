"""``train`` is overridden without ``super().train(mode)``: ``model.eval()`` does nothing."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "train_without_super",
    "rule": "mode-override",
    "class": "mode-override",
    "where": "Net.train",
    "code": "def train(self, mode=True):",
    "static": True,
    "severity": "error",
    "keywords": ["super().train", "eval"],
}
FIX = [
    ("        self.backbone.eval()\n", "        super().train(mode)\n        self.backbone.eval()\n"),
    (
        "nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16))",
        "nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16)).requires_grad_(False)",
    ),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16))
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(16, 4)

    def train(self, mode=True):
        self.backbone.eval()
        return self

    def forward(self, x):
        return self.head(self.drop(self.backbone(x)))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
