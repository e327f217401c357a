"""House prices in dollars are the target of a mean squared error.

The first losses are of the order of 1e10 and the output bias needs thousands of epochs to get
there. Standardise the target (or its logarithm).
"""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "targets_in_dollars",
    "rule": "targets-unscaled",
    "class": "targets-unscaled",
    "where": "train_set",
    "code": "price = 250_000 + 90_000 * score",
    "static": False,
    "severity": "error",
    "keywords": ["target", "scale", "normal", "standard", "large"],
}
FIX = [
    ('price = 250_000 + 90_000 * score', 'price = score / 2'),
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


class HouseNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.area = nn.Embedding(8, 6)
        self.kind = nn.Embedding(4, 3)
        self.net = nn.Sequential(
            nn.Linear(15, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1)
        )

    def forward(self, numbers, codes):
        h = torch.cat([numbers, self.area(codes[:, 0]), self.kind(codes[:, 1])], 1)
        return self.net(h).squeeze(-1)


class Houses(Dataset):
    def __init__(self, n, seed):
        self.numbers, self.codes, score = customers(n, seed)
        price = 250_000 + 90_000 * score
        self.price = price

    def __len__(self):
        return len(self.price)

    def __getitem__(self, i):
        return (self.numbers[i], self.codes[i]), self.price[i]


def build():
    return {
        "model": HouseNet(),
        "train_set": Houses(300, 0),
        "val_set": Houses(80, 1),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.AdamW(model.parameters(), lr=5e-3),
        "batch_size": 50,
        "epochs": 8,
    }
