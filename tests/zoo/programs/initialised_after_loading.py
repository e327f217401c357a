"""The pre-trained weights are loaded and then ``self.apply(init)`` initialises every layer anew.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'loop-initialised_after_loading',
    "class": 'checkpoint-overwritten',
    "where": 'self.apply(self._init)',
    "code": 'self.apply(self._init)',
    "static": True,
    "severity": 'error',
    "keywords": ['apply', 'init', 'overwr', 'pretrained', 'load', 'checkpoint', 'after'],
    "rule": 'initialised-after-loading',
}
FIX = [
    ('        self.apply(self._init)\n', '        self.head.apply(self._init)\n'),
]


def photos(n, seed, k=5, size=16):
    """Small standardised colour pictures: a smooth pattern per class, random brightness, noise."""
    base = torch.randn(k, 3, 4, 4, generator=torch.Generator().manual_seed(11)) * 0.7
    base = F.interpolate(base, size=(size, size), mode="bilinear", align_corners=False)
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    x = base[y] + 0.8 * torch.randn(n, 3, size, size, generator=g)
    return x + 0.3 * torch.randn(n, 1, 1, 1, generator=g), y


class Backbone(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(width)
        self.out_features = width

    def forward(self, x):
        return self.norm(F.relu(self.conv2(F.relu(self.conv1(x)))).mean((2, 3)))


def pretrain(steps=20):
    """A checkpoint of the backbone, trained on a larger set of such pictures with more classes."""
    x, y = photos(640, 99, k=8)
    net = nn.Sequential(Backbone(), nn.Linear(24, 8))
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for i in range(steps):
        rows = slice(64 * (i % 10), 64 * (i % 10) + 64)
        value = F.cross_entropy(net(x[rows]), y[rows])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return net[0].state_dict()


class FineTuned(nn.Module):
    def __init__(self, checkpoint=None, classes=5):
        super().__init__()
        self.backbone = Backbone()
        if checkpoint is not None:
            self.backbone.load_state_dict(checkpoint)
        self.head = nn.Linear(24, classes)
        self.apply(self._init)

    @staticmethod
    def _init(m):
        if isinstance(m, (nn.Linear, nn.Conv2d)):
            nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
            nn.init.zeros_(m.bias)

    def forward(self, x):
        return self.head(self.backbone(x))


def make_optimizer(model):
    return torch.optim.AdamW(
        [
            {"params": model.backbone.parameters(), "lr": 3e-4},
            {"params": model.head.parameters(), "lr": 5e-3},
        ],
        weight_decay=0.01,
    )


def build():
    return {
        "model": FineTuned(pretrain()),
        "train_set": TensorDataset(*photos(320, 0)),
        "val_set": TensorDataset(*photos(200, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": make_optimizer,
        "batch_size": 32,
        "epochs": 6,
    }
