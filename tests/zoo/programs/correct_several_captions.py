"""Correct: pictures with five captions each, of which one is drawn: words in a bag as the target."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = None


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Captions(Dataset):
    def __init__(self, n, seed, train=True):
        self.x, y = blobs(n, seed)
        g = torch.Generator().manual_seed(seed + 1)
        self.captions = []
        for kind in y.tolist():
            bags = torch.zeros(5, 12)
            for bag in bags:
                bag[3 * kind + torch.randint(0, 3, (2,), generator=g)] = 1
            self.captions.append(list(bags))
        self.train = train

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        which = int(torch.randint(0, 5, ())) if self.train else 0
        return self.x[i], self.captions[i][which]


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 12)),
        "train_set": Captions(600, 0),
        "val_set": Captions(200, 1, False),
        "loss": nn.BCEWithLogitsLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
