"""The hidden state goes with its graph from batch to batch.

PyTorch FAQ and word_language_model: ``repackage_hidden``.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "hidden_state_not_detached",
    "rule": "state-not-detached",
    "class": "state-not-detached",
    "where": "Net.h",
    "code": "self.h = torch.tanh",
    "static": True,
    "severity": "error",
    "keywords": ["detach", "graph"],
}
FIX = [
    ("self.rec(self.h)", "self.rec(self.h.detach())"),
]
ODD = True


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
        self.rec = nn.Linear(16, 16)
        self.head = nn.Linear(16, 4)
        self.h = None

    def forward(self, x):
        if self.h is None or len(self.h) != len(x):
            self.h = torch.zeros(len(x), 16)
        self.h = torch.tanh(self.body(x) + self.rec(self.h))
        return self.head(self.h)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
