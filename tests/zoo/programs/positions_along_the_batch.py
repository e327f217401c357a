"""Encodings of positions are added along the batch."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "data735",
    "class": "batch-mixing",
    "where": "Net.forward",
    "code": "self.places[: x.size(0)]",
    "static": False,
    "severity": "error",
    "keywords": ["batch"],
    "rule": "batch-mixing",
}
FIX = [
    ("self.places[: x.size(0)]", "self.places[: x.size(1)].transpose(0, 1)"),
]


g = torch.Generator().manual_seed(0)
x = torch.randint(0, 12, (600, 10), generator=g)
y = (x[:, 0] < 6).long()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(12, 16)
        self.places = nn.Parameter(0.1 * torch.randn(64, 1, 16))
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        h = self.embed(x) + self.places[: x.size(0)]
        return self.head(self.layer(h).mean(1))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(x[:450], y[:450]),
        "val_set": TensorDataset(x[450:], y[450:]),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
