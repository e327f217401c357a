"""A transformer without positions is to tell the first token of a sequence."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "data733",
    "class": "order-ignored",
    "where": "Net: position",
    "code": "self.layer(h)",
    "static": False,
    "severity": "warning",
    "keywords": ["position", "order"],
    "rule": "order-ignored",
}
FIX = [
    ("h = self.embed(x)", "h = self.embed(x) + self.place"),
    (
        "self.place = nn.Parameter(torch.zeros(1), requires_grad=False)",
        "self.place = nn.Parameter(0.1 * torch.randn(10, 16))",
    ),
]


g = torch.Generator().manual_seed(0)
x = torch.randint(0, 12, (600, 10), generator=g)
y = (x[:, 0] < 6).long()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(12, 16)
        self.place = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        h = self.embed(x)
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
