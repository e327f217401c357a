"""A picture in (height, width, channel) order is brought to (channel, height, width) by ``view``.

The pixels are scrambled; ``permute`` was meant. One of the most frequent forum questions.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "hwc_by_view",
    "rule": "layout-scrambled",
    "class": "layout-scrambled",
    "where": "Pictures.__getitem__",
    "code": ".view(3, 16, 16)",
    "static": True,
    "severity": "error",
    "keywords": ["permute", "view", "HWC", "channel", "transpose", "scrambl", "reshape"],
}
FIX = [
    ('.view(3, 16, 16)', '.permute(2, 0, 1)'),
]


def photos(n, seed, k=5, size=16):
    """Small standardised colour pictures: a smooth pattern per class, random brightness, noise."""
    base = torch.randn(k, 3, 4, 4, generator=torch.Generator().manual_seed(11)) * 0.7
    base = F.interpolate(base, size=(size, size), mode="bilinear", align_corners=False)
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    x = base[y] + 0.8 * torch.randn(n, 3, size, size, generator=g)
    return x + 0.3 * torch.randn(n, 1, 1, 1, generator=g), y


class Pictures(Dataset):
    """Pictures as an image library gives them: (height, width, channel)."""

    def __init__(self, n, seed):
        x, self.labels = photos(n, seed)
        self.images = x.permute(0, 2, 3, 1).contiguous().numpy()

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = torch.from_numpy(self.images[index]).view(3, 16, 16)
        return image, self.labels[index]


class ConvBlock(nn.Sequential):
    def __init__(self, c_in, c_out):
        super().__init__(
            nn.Conv2d(c_in, c_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )


def build():
    model = nn.Sequential(
        ConvBlock(3, 16), ConvBlock(16, 32), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5)
    )
    return {
        "model": model,
        "train_set": Pictures(240, 0),
        "val_set": Pictures(80, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=3e-3),
        "batch_size": 48,
        "epochs": 6,
    }
