"""The checkpoint was saved from ``DataParallel``: its keys begin with ``module.``. With
``strict=False`` not one of them is loaded, without a word.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'loop-checkpoint_with_prefix',
    "class": 'checkpoint-not-loaded',
    "where": 'load_state_dict',
    "code": 'strict=False',
    "static": False,
    "severity": 'error',
    "keywords": ['strict', 'load_state_dict', 'missing', 'prefix', 'module.', 'keys', 'not loaded'],
    "rule": 'nothing-loaded',
}
FIX = [
    ('load_state_dict(checkpoint, strict=False)', 'load_state_dict({k.removeprefix("module."): v for k, v in checkpoint.items()})'),
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


class Classifier(nn.Module):
    def __init__(self, checkpoint, classes=5):
        super().__init__()
        self.backbone = Backbone()
        self.backbone.load_state_dict(checkpoint, strict=False)
        self.head = nn.Linear(self.backbone.out_features, classes)

    def forward(self, x):
        return self.head(self.backbone(x))


def read_checkpoint():
    """As ``nn.DataParallel(net).state_dict()`` would have been saved."""
    return {"module." + key: value for key, value in pretrain().items()}


def build():
    return {
        "model": Classifier(read_checkpoint()),
        "train_set": TensorDataset(*photos(240, 0)),
        "val_set": TensorDataset(*photos(240, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.AdamW(model.parameters(), lr=2e-3),
        "batch_size": 24,
        "epochs": 5,
    }
