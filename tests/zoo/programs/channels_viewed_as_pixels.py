"""(B, C, H, W) is turned to (B, H*W, C) by ``view`` alone: channels and pixels are mixed up.

Reported: fawazsammani/knowing-when-to-look-adaptive-attention#6, zhouhaoyi/Informer2020#59.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "view-for-transpose",
    "class": "view-for-transpose",
    "rule": "view-for-transpose",
    "where": "PixelTagger.forward: view",
    "also": ["PixelTagger.forward", "view", "features", "head"],
    "code": "maps.view(b, h * w, c)",
    "static": True,
    "severity": "error",
    "keywords": ["view", "permute", "transpose", "layout", "reshape", "mix", "scrambl"],
}
FIX = [
    ('maps.view(b, h * w, c)', 'maps.permute(0, 2, 3, 1).reshape(b, h * w, c)'),
]


def fields(n, seed, side=8, crops=4):
    """Satellite-like tiles of 2x2 fields; each crop has its own colour in three bands."""
    colours = torch.randn(crops, 3, generator=torch.Generator().manual_seed(12))
    g = torch.Generator().manual_seed(seed)
    crop = torch.randint(0, crops, (n, 2, 2), generator=g)
    crop = crop.repeat_interleave(side // 2, 1).repeat_interleave(side // 2, 2)
    x = colours[crop].permute(0, 3, 1, 2) + 0.7 * torch.randn(n, 3, side, side, generator=g)
    return x, crop.flatten(1)


class PixelTagger(nn.Module):
    """A convolutional trunk and one classifier for each pixel."""

    def __init__(self, crops=4, width=24):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, crops)

    def forward(self, x):
        maps = self.features(x)
        b, c, h, w = maps.shape
        pixels = maps.view(b, h * w, c)
        return self.head(self.norm(pixels))


def pixel_loss(scores, crop):
    return nn.functional.cross_entropy(scores.transpose(1, 2), crop)


def build():
    return {
        "model": PixelTagger(),
        "train_set": TensorDataset(*fields(400, 0)),
        "val_set": TensorDataset(*fields(120, 1)),
        "loss": pixel_loss,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3),
        "batch_size": 25,
        "epochs": 6,
    }
