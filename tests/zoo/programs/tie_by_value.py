"""Output and input embedding are tied through a new ``nn.Parameter``: two parameters share memory until the next copy."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "tie_by_value",
    "rule": "storage-tie",
    "class": "storage-tie",
    "where": "head.weight",
    "code": "self.head.weight = nn.Parameter(",
    "static": True,
    "severity": "warning",
    "keywords": ["tied", "memory"],
}
FIX = [
    ("nn.Parameter(self.emb.weight)", "self.emb.weight"),
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
        self.emb = nn.Embedding(4, 16)
        self.head = nn.Linear(16, 4, bias=False)
        self.head.weight = nn.Parameter(self.emb.weight)

    def forward(self, x):
        return self.head(x + self.emb(torch.zeros(len(x), dtype=torch.long)))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
