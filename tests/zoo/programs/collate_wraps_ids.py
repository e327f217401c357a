"""The collate function casts token ids to bytes: those from 256 on become others."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "data721",
    "class": "collate-truncates",
    "where": "collate",
    "code": "torch.uint8",
    "static": False,
    "severity": "error",
    "keywords": ["cast"],
    "rule": "collate-truncates",
}
FIX = [
    ("torch.uint8", "torch.int32"),
]


g = torch.Generator().manual_seed(0)
x = torch.randint(0, 400, (600, 12), generator=g)
y = ((x < 200).sum(1) > 6).long()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(400, 16)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        return self.head(self.embed(x.long()).mean(1))


def collate(samples):
    return torch.stack([x for x, _ in samples]).to(torch.uint8), torch.stack([y for _, y in samples])


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(x[:450], y[:450]),
        "val_set": TensorDataset(x[450:], y[450:]),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "collate": collate,
    }
