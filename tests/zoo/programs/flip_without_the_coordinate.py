"""The picture is mirrored, the position of the spot in it is not."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": 'seven-c27',
    "class": 'augmentation-changes-target',
    "where": 'Spots.__getitem__',
    "code": 'image = torch.flip(image, dims=[2])',
    "static": False,
    "severity": 'error',
    "keywords": ['flip', 'mirror', 'coordinate', 'augment', 'target'],
    "rule": 'augmentation-changes-target',
}
FIX = [
    ('image = torch.flip(image, dims=[2])', 'image, centre = torch.flip(image, dims=[2]), centre * torch.tensor([-1.0, 1.0])'),
]


class Spots(Dataset):
    def __init__(self, n, seed, train):
        g = torch.Generator().manual_seed(seed)
        self.centres = torch.rand(n, 2, generator=g) * 1.6 - 0.8
        axis = torch.linspace(-1, 1, 16)
        dx = axis[None, None, :] - self.centres[:, 0, None, None]
        dy = axis[None, :, None] - self.centres[:, 1, None, None]
        self.images = torch.exp(-(dx**2 + dy**2) / 0.1)[:, None] + 0.1 * torch.randn(n, 1, 16, 16, generator=g)
        self.train = train

    def __len__(self):
        return len(self.centres)

    def __getitem__(self, index):
        image, centre = self.images[index], self.centres[index]
        if self.train and torch.rand(1).item() < 0.5:
            image = torch.flip(image, dims=[2])
        return image, centre


def build():
    return {
        "model": nn.Sequential(nn.Conv2d(1, 8, 5, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2)),
        "train_set": Spots(500, 0, True),
        "val_set": Spots(200, 1, False),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
