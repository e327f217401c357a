"""The dataset keeps its own generator; every worker process gets a copy of it in the same state.

All workers draw the same augmentation, in every epoch again. Reported for ``np.random`` (which
PyTorch seeds per worker since 1.9): pytorch/pytorch#5059, #3880, OpenPCDet#886, CenterNet#233;
an own generator is still hit.
"""

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

BUG = {
    "id": "case49",
    "class": "worker-seeds",
    "where": "train_set.rng",
    "code": "self.rng = np.random.default_rng(0)",
    "static": True,
    "severity": "error",
    "keywords": ["worker", "rng", "seed", "augment", "identical"],
}
FIX = [
    ('torch.from_numpy(self.rng.standard_normal(16).astype(np.float32))', 'torch.randn(16)'),
    ('        self.rng = np.random.default_rng(0)\n', ''),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Noisy(Dataset):
    def __init__(self, n, seed):
        self.x, self.y = blobs(n, seed)
        self.rng = np.random.default_rng(0)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        noise = torch.from_numpy(self.rng.standard_normal(16).astype(np.float32))
        return self.x[i] + noise, self.y[i]


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": Noisy(400, 0),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "num_workers": 2,
        "epochs": 2,
    }
