"""The first hidden state is drawn at random, in evaluation too."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "random_first_state",
    "rule": "noise-in-eval",
    "class": "noise-in-eval",
    "where": "Net.forward: randn",
    "code": "h0 = torch.randn",
    "static": True,
    "severity": "error",
    "keywords": ["random", "eval"],
}
FIX = [
    ("torch.randn(1,", "torch.zeros(1,"),
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
        self.rnn = nn.GRU(4, 16, batch_first=True)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        h0 = torch.randn(1, len(x), 16)
        out, _ = self.rnn(x.view(-1, 4, 4), h0)
        return self.head(out[:, -1])


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
