"""``__len__`` gives the number of batches (as a Keras ``Sequence`` does): the loader sees the first
20 samples only.
"""

import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

BUG = {
    "id": "length_in_batches",
    "rule": "wrong-length",
    "class": "wrong-length",
    "where": "__len__",
    "code": "return len(self.labels) // self.batch_size",
    "static": True,
    "severity": "error",
    "keywords": ["__len__", "length", "len", "batch", "never", "samples", "unused"],
}
FIX = [
    ('return len(self.labels) // self.batch_size', 'return len(self.labels)'),
]


def glyphs(n, seed, k=6, size=12):
    """Grey pictures, roughly standardised: ``k`` fixed 8x8 patterns at random offsets, with noise."""
    patterns = (torch.rand(k, 8, 8, generator=torch.Generator().manual_seed(3)) > 0.5).float()
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    top, left = torch.randint(0, size - 7, (2, n), generator=g).tolist()
    x = 0.3 * torch.randn(n, 1, size, size, generator=g)
    for i in range(n):
        x[i, 0, top[i]:top[i] + 8, left[i]:left[i] + 8] += patterns[y[i]]
    return (x - 0.22) / 0.5, y


class GlyphSequence(Dataset):
    def __init__(self, n, seed, batch_size=20):
        self.images, self.labels = glyphs(n, seed)
        self.batch_size = batch_size

    def __len__(self):
        return len(self.labels) // self.batch_size

    def __getitem__(self, index):
        return self.images[index], self.labels[index]


class Net(nn.Module):
    def __init__(self, classes=6):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        )
        self.head = nn.Linear(288, classes)

    def forward(self, x):
        return self.head(torch.flatten(self.features(x), 1))


def build():
    return {
        "model": Net(),
        "train_set": GlyphSequence(400, 0),
        "val_set": TensorDataset(*glyphs(80, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=2e-3),
        "batch_size": 20,
        "epochs": 5,
    }
