"""An auxiliary loss calls ``backward`` in ``forward``: its gradients are in every step, whatever the loop does."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "backward_in_forward",
    "rule": "training-in-model",
    "class": "training-in-model",
    "where": "Net.forward: backward",
    "code": "loss.backward()",
    "static": True,
    "severity": "error",
    "keywords": ["backward", "training"],
}
FIX = [
    ("            loss.backward()\n", "            self.aux = loss\n"),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(16, 16)
        self.head = nn.Linear(16, 4)
        self.dec = nn.Linear(16, 16)

    def forward(self, x):
        h = self.body(x)
        if self.training:
            loss = F.mse_loss(self.dec(h), x)
            loss.backward()
        return self.head(F.relu(self.body(x)))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
