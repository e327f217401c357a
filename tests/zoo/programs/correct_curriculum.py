"""Correct: an epoch sees a share of the data set, which grows."""

import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

BUG = None


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Curriculum(Dataset):
    """Sorted from easy to hard; an epoch sees a share of it. The loader shuffles."""

    def __init__(self, n, seed):
        x, y = blobs(n, seed)
        order = x.norm(dim=1).argsort()
        self.x, self.y, self.share = x[order], y[order], 0.3

    def set_epoch(self, epoch):
        self.share = min(1.0, 0.3 + 0.1 * epoch)

    def __len__(self):
        return int(len(self.x) * self.share)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


def build():
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    return {
        "model": model,
        "train_set": Curriculum(600, 0),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3),
        "batch_size": 40,
    }
