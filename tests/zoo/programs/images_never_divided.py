"""A data set turns bytes into floats and does not divide."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "loop314",
    "class": 'inputs-not-normalised',
    "where": 'train_set',
    "code": 'self.pixels[i].float()',
    "static": False,
    "severity": 'error',
    "keywords": ['255', 'normal', 'range'],
    "rule": 'inputs-not-normalised',
}
FIX = [
    ('.float()', '.float() / 255'),
]
ODD = True  # repaired, it keeps another oddity that a finding may rightly name


class Photos(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.y = torch.randint(0, 2, (n,), generator=g)
        noise = torch.randint(0, 100, (n, 1, 8, 8), generator=g)
        self.pixels = (noise + 150 * self.y[:, None, None, None]).to(torch.uint8)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.pixels[i].float(), self.y[i]


def build():
    return {
        "model": nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2)),
        "train_set": Photos(600, 0),
        "val_set": Photos(300, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
