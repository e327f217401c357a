"""Brightness is added to uint8 pixels, which wrap around at 256."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": 'seven-c11',
    "class": 'integers-wrap',
    "where": 'Photos.__getitem__',
    "code": 'img = img + np.uint8(rng.integers(0, 80))',
    "static": False,
    "severity": 'error',
    "keywords": ['uint8', 'overflow', 'wrap'],
    "rule": 'integers-wrap',
}
FIX = [
    ('img = img + np.uint8(rng.integers(0, 80))', 'img = np.clip(img.astype(np.int16) + rng.integers(0, 80), 0, 255)'),
]


class Photos(Dataset):
    def __init__(self, n, seed, train):
        base = np.random.default_rng(5).integers(0, 256, (4, 1, 8, 8))
        rng = np.random.default_rng(seed)
        self.labels = rng.integers(0, 4, n)
        noise = rng.normal(0, 25, (n, 1, 8, 8))
        self.images = np.clip(base[self.labels] + noise, 0, 255).astype(np.uint8)
        self.train = train

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        img = self.images[i]
        if self.train:
            rng = np.random.default_rng(int(torch.randint(0, 2**31, ())))
            img = img + np.uint8(rng.integers(0, 80))
        return torch.from_numpy(img.astype(np.float32)) / 255 - 0.5, int(self.labels[i])


def build():
    return {
        "model": nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": Photos(500, 0, True),
        "val_set": Photos(250, 1, False),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
