"""The backbone is frozen with ``requires_grad_(False)``; its batch norm still follows the new
data.

The features of the "frozen" network change during training. Reported: pytorch/pytorch#86590,
#66073, pgniewko/gt-pyg#112, speedinghzl/Pytorch-Deeplab#17.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "case43",
    "class": "frozen-norm-moves",
    "where": "backbone.1 (BatchNorm1d)",
    "code": "self.backbone.requires_grad_(False)",
    "static": True,
    "severity": "warning",
    "keywords": ["BatchNorm", "frozen", "running", "backbone"],
}
FIX = [
    ('    def forward(self, x):\n', '    def train(self, mode=True):\n        super().train(mode)\n        self.backbone.eval()\n        return self\n\n    def forward(self, x):\n'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def shifted(n, seed):
    x, y = blobs(n, seed)
    return x + 2.0, y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU())
        self.backbone.requires_grad_(False)
        self.head = nn.Linear(32, 4)

    def forward(self, x):
        return self.head(self.backbone(x))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*shifted(600, 0)),
        "val_set": TensorDataset(*shifted(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.head.parameters(), lr=1e-2),
        "batch_size": 50,
    }
