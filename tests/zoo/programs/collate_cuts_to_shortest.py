"""The collate function cuts texts to the shortest in the batch."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "data717",
    "class": "collate-cuts",
    "where": "collate",
    "code": "min(len(x) for x in xs)",
    "static": False,
    "severity": "error",
    "keywords": ["truncate", "cut"],
    "rule": "collate-cuts",
}
FIX = [
    ("size = min(len(x) for x in xs)", "size = max(len(x) for x in xs)"),
    ("torch.stack([x[:size] for x in xs])", "torch.stack([nn.functional.pad(x, (0, size - len(x))) for x in xs])"),
]


g = torch.Generator().manual_seed(0)
texts = [torch.randint(1, 50, (int(size),), generator=g) for size in torch.randint(5, 20, (400,), generator=g)]
labels = [int((text < 25).float().mean() > 0.5) for text in texts]


class Texts(Dataset):
    def __init__(self, rows):
        self.rows = list(rows)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return texts[self.rows[index]], labels[self.rows[index]]


class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(50, 16, padding_idx=0)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        known = (x > 0).float().unsqueeze(2)
        return self.head((self.embed(x) * known).sum(1) / known.sum(1).clamp_min(1))


def collate(samples):
    xs, ys = zip(*samples, strict=True)
    size = min(len(x) for x in xs)
    return torch.stack([x[:size] for x in xs]), torch.tensor(ys)


def build():
    return {
        "model": Bag(),
        "train_set": Texts(range(300)),
        "val_set": Texts(range(300, 400)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "collate": collate,
    }
