"""The label map is resized like the image, by bilinear interpolation: classes that are not there appear at each edge.

Reported: shekkizh/FCN.tensorflow#4, divamgupta/image-segmentation-keras#11, kornia/kornia#1630.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "labels-interpolated",
    "class": "labels-interpolated",
    "rule": "labels-interpolated",
    "where": "Scenes.__getitem__: interpolate",
    "also": ["train_set", "target", "mask", "resize"],
    "code": "mode=\"bilinear\", align_corners=False)[0, 0].long()",
    "static": True,
    "severity": "error",
    "keywords": ["bilinear", "nearest", "interpol", "label", "mask", "resize"],
}
FIX = [
    ('mode="bilinear", align_corners=False)[0, 0].long()', 'mode="nearest-exact")[0, 0].long()'),
]


class Scenes(Dataset):
    """Squares of the classes 1..4 on a background of class 0; each class has its own colour."""

    def __init__(self, n, seed, side=12, out=16):
        self.out = out
        colours = torch.randn(5, 3, generator=torch.Generator().manual_seed(21))
        g = torch.Generator().manual_seed(seed)
        self.images, self.masks = [], []
        for _ in range(n):
            mask = torch.zeros(side, side)
            for _ in range(3):
                r, c = torch.randint(0, side - 4, (2,), generator=g).tolist()
                mask[r:r + 4, c:c + 4] = torch.randint(1, 5, (1,), generator=g).item()
            image = colours[mask.long()].permute(2, 0, 1)
            self.images.append(image + 0.3 * torch.randn(3, side, side, generator=g))
            self.masks.append(mask)

    def __len__(self):
        return len(self.masks)

    def __getitem__(self, i):
        size = (self.out, self.out)
        image = F.interpolate(self.images[i][None], size, mode="bilinear", align_corners=False)[0]
        mask = F.interpolate(self.masks[i][None, None], size, mode="bilinear", align_corners=False)[0, 0].long()
        return image, mask


def fcn(classes=5, width=24):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Conv2d(width, classes, 1),
    )


def build():
    return {
        "model": fcn(),
        "train_set": Scenes(240, 0),
        "val_set": Scenes(80, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9),
        "batch_size": 24,
        "epochs": 6,
    }
