"""All columns are scaled to 0..1, the categorical codes too; cast back to ``long`` every code is 0.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "scaled_codes_to_long",
    "rule": "codes-truncated",
    "class": "codes-truncated",
    "where": "city",
    "code": "x[:, 6:].long()",
    "static": True,
    "severity": "error",
    "keywords": ["long", "embedding", "index", "truncat", "constant", "same row", "categor"],
}
FIX = [
    ('    codes = codes / torch.tensor([8.0, 4.0])\n', ''),
]


def customers(n, seed):
    """Six standardised numbers, two categorical codes (8 cities, 4 plans) and a score."""
    g = torch.Generator().manual_seed(seed)
    numbers = torch.randn(n, 6, generator=g)
    city = torch.randint(0, 8, (n,), generator=g)
    plan = torch.randint(0, 4, (n,), generator=g)
    effect = torch.tensor([1.5, -1.0, 0.5, -1.5, 1.0, -0.5, 2.0, -2.0])[city]
    score = numbers @ torch.linspace(-1, 1, 6) + effect + 0.5 * (plan - 1.5) * numbers[:, 0]
    return numbers, torch.stack([city, plan], 1), score + 0.3 * torch.randn(n, generator=g)


def features(n, seed):
    numbers, codes, score = customers(n, seed)
    codes = codes / torch.tensor([8.0, 4.0])
    x = torch.cat([numbers.clamp(-3, 3) / 3, codes], dim=1)
    return x, (score > 0).long()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.city = nn.Embedding(8, 8)
        self.plan = nn.Embedding(4, 4)
        self.mlp = nn.Sequential(nn.Linear(18, 64), nn.ReLU(), nn.Linear(64, 2))

    def forward(self, x):
        numbers, codes = x[:, :6], x[:, 6:].long()
        h = torch.cat([numbers, self.city(codes[:, 0]), self.plan(codes[:, 1])], dim=1)
        return self.mlp(h)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*features(300, 0)),
        "val_set": TensorDataset(*features(80, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=5e-3),
        "batch_size": 50,
        "epochs": 6,
    }
