"""Correct: files are numbered anew in each folder, so that one name stands for two pictures; samples are repeated."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = None


class Folder(Dataset):
    """A folder of pictures, each shown several times in an epoch."""

    def __init__(self, n, seed, repeat=3):
        g = torch.Generator().manual_seed(seed)
        self.y = torch.randint(2, (n,), generator=g)
        self.x = torch.randn(n, 1, 6, 6, generator=g) + self.y[:, None, None, None]
        self.names = [f"{i:05d}.png" for i in range(n)] * repeat

    def __len__(self):
        return len(self.names)

    def __getitem__(self, i):
        row = int(self.names[i][:5])
        return self.x[row], self.y[row]


def build():
    return {
        "model": nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.ReLU(), nn.Linear(16, 2)),
        "train_set": Folder(150, 0),
        "val_set": Folder(80, 1, repeat=1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=3e-3),
        "batch_size": 50,
    }
