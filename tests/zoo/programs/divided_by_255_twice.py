"""The pictures are already in 0..1 (as ``ToTensor`` gives them) and are divided by 255 once more:
after the normalisation all of them are -1 with a spread of 0.001.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "divided_by_255_twice",
    "rule": "inputs-not-normalised",
    "class": "inputs-not-normalised",
    "where": "normalise",
    "code": "image = image / 255.0",
    "static": False,
    "severity": "error",
    "keywords": ["255", "normal", "range", "constant", "std", "variance", "twice", "input"],
}
FIX = [
    ('    image = image / 255.0\n', ''),
]


def photos(n, seed, k=5, size=16):
    """Small standardised colour pictures: a smooth pattern per class, random brightness, noise."""
    base = torch.randn(k, 3, 4, 4, generator=torch.Generator().manual_seed(11)) * 0.7
    base = F.interpolate(base, size=(size, size), mode="bilinear", align_corners=False)
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    x = base[y] + 0.8 * torch.randn(n, 3, size, size, generator=g)
    return x + 0.3 * torch.randn(n, 1, 1, 1, generator=g), y


def normalise(image):
    image = image / 255.0
    return (image - 0.5) / 0.5


class Pictures(Dataset):
    def __init__(self, n, seed):
        x, self.y = photos(n, seed)
        self.x = torch.sigmoid(x)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return normalise(self.x[i]), self.y[i]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 5, stride=2, padding=2)
        self.conv2 = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.fc1 = nn.Linear(32 * 16, 32)
        self.fc2 = nn.Linear(32, 5)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc2(x)


def build():
    return {
        "model": Net(),
        "train_set": Pictures(240, 0),
        "val_set": Pictures(80, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9),
        "batch_size": 48,
        "epochs": 6,
    }
