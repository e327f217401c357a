"""An autoencoder masks its input in place, and the target is the same tensor."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "target_changed_in_forward",
    "rule": "input-changed",
    "class": "input-changed",
    "where": "Net.forward",
    "code": "x.mul_(",
    "static": True,
    "severity": "error",
    "keywords": ["in place"],
}
FIX = [
    ("        x.mul_(", "        x = x.mul("),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def collate(samples):
    x = torch.stack([s[0] for s in samples])
    return x, x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 16))

    def forward(self, x):
        x.mul_((torch.arange(16) % 3 > 0).float())
        return self.net(x)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "collate": collate,
    }
