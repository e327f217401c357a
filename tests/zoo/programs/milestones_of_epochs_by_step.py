"""``MultiStepLR`` with milestones in epochs is stepped after every batch.

After less than one epoch the learning rate is a thousandth of what was asked for.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "schedule-unit",
    "class": "schedule-unit",
    "rule": "schedule-unit",
    "where": "scheduler_interval",
    "code": "\"scheduler_interval\": \"step\"",
    "static": False,
    "severity": "error",
    "keywords": ["scheduler", "step", "epoch", "learning rate", "decay", "interval"],
    "also": ["make_scheduler", "scheduler"],
}

FIX = [
    ('"scheduler_interval": "step"', '"scheduler_interval": "epoch"'),
]


EPOCHS = 12


class DoubleConv(nn.Sequential):
    def __init__(self, cin, cout):
        super().__init__(
            nn.Conv2d(cin, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(),
            nn.Conv2d(cout, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(),
        )


class TinyUNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1, self.down2 = DoubleConv(1, 8), DoubleConv(8, 16)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.merge = DoubleConv(16, 8)
        self.out = nn.Conv2d(8, 1, 1)

    def forward(self, img):
        skip = self.down1(img)
        deep = self.up(self.down2(F.max_pool2d(skip, 2)))
        return self.out(self.merge(torch.cat([skip, deep], 1)))


def discs(n, seed, size=12):
    g = torch.Generator().manual_seed(seed)
    yy, xx = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    centre = torch.randint(3, size - 3, (n, 2, 1, 1), generator=g)
    radius = 2 + 2 * torch.rand(n, 1, 1, generator=g)
    mask = ((yy - centre[:, 0]) ** 2 + (xx - centre[:, 1]) ** 2 < radius**2).float()
    img = mask + 0.7 * torch.randn(n, size, size, generator=g)
    return TensorDataset(img[:, None], mask[:, None])


def make_scheduler(optimizer):
    return torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[4, 8, 10], gamma=0.1)


def build():
    return {
        "model": TinyUNet(),
        "train_set": discs(240, 0),
        "val_set": discs(80, 1),
        "loss": nn.BCEWithLogitsLoss(),
        "make_optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9),
        "make_scheduler": make_scheduler,
        "scheduler_interval": "step",
        "batch_size": 16,
        "epochs": EPOCHS,
    }
