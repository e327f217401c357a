"""Copied from a text model: ``padding_idx=0`` where code 0 is a real category. Its vector stays 0
for ever.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "padding_idx_of_a_category",
    "rule": "padding-is-a-category",
    "class": "padding-is-a-category",
    "where": "embeddings",
    "code": "padding_idx=0",
    "static": False,
    "severity": "warning",
    "keywords": ["padding_idx", "category", "index 0", "row", "never", "embedding", "zero"],
}
FIX = [
    ('nn.Embedding(n, d, padding_idx=0)', 'nn.Embedding(n, d)'),
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


class Entity(nn.Module):
    """Entity embeddings (Guo and Berkhahn 2016)."""

    def __init__(self, sizes=((8, 6), (4, 3)), numbers=6, hidden=64):
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(n, d, padding_idx=0) for n, d in sizes)
        width = numbers + sum(d for _, d in sizes)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, hidden // 2)
        self.out = nn.Linear(hidden // 2, 1)

    def forward(self, numbers, codes):
        vectors = [e(c) for e, c in zip(self.embeddings, codes.unbind(1))]
        h = torch.cat(vectors + [numbers], dim=1)
        h = F.relu(self.fc1(h))
        h = F.relu(self.fc2(h))
        return self.out(h).squeeze(1)


class Sales(Dataset):
    def __init__(self, n, seed):
        self.numbers, self.codes, score = customers(n, seed)
        self.sales = score / 2.3

    def __len__(self):
        return len(self.sales)

    def __getitem__(self, i):
        return (self.numbers[i], self.codes[i]), self.sales[i]


def build():
    return {
        "model": Entity(),
        "train_set": Sales(300, 0),
        "val_set": Sales(80, 1),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=5e-3),
        "batch_size": 50,
        "epochs": 6,
    }
