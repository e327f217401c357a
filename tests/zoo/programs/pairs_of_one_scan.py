"""A distance is the ``sqrt`` of a sum of squares; for a pair of identical inputs its gradient is 0 / 0.

The loss is finite in the first step, all weights are NaN after the first such pair.
"""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    'id': 'pairs_of_one_scan',
    'class': 'nan-backward',
    'where': 'distance',
    'also': ['Siamese.forward', 'loss', 'sqrt', 'Siamese'],
    'code': 'return torch.sqrt(((a - b) ** 2).sum(dim=1))',
    'static': False,
    'severity': 'error',
    'keywords': ['nan', 'sqrt', 'zero', 'gradient', 'eps'],
    'rule': 'numbers-break',
}
FIX = [
    ('((a - b) ** 2).sum(dim=1))', '((a - b) ** 2).sum(dim=1) + 1e-6)'),
]


class SignaturePairs(Dataset):
    """Two descriptors of signatures: of one writer (1) or of two (0). A few scans are in the pile twice."""

    def __init__(self, n, seed, writers=20, dim=12):
        hands = torch.randn(writers, dim, generator=torch.Generator().manual_seed(6))
        g = torch.Generator().manual_seed(seed)
        first = torch.randint(0, writers, (n,), generator=g)
        other = (first + torch.randint(1, writers, (n,), generator=g)) % writers
        self.same = (torch.rand(n, generator=g) < 0.5).float()
        second = torch.where(self.same > 0, first, other)
        self.a = hands[first] + 0.35 * torch.randn(n, dim, generator=g)
        self.b = hands[second] + 0.35 * torch.randn(n, dim, generator=g)
        twice = (torch.rand(n, generator=g) < 0.04) & (self.same > 0)
        self.b[twice] = self.a[twice]

    def __len__(self):
        return len(self.same)

    def __getitem__(self, i):
        return (self.a[i], self.b[i]), self.same[i]


def distance(a, b):
    return torch.sqrt(((a - b) ** 2).sum(dim=1))


class Siamese(nn.Module):
    def __init__(self, dim=12, out=8):
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(dim, 32), nn.PReLU(), nn.Linear(32, out))

    def forward(self, a, b):
        return distance(self.tower(a), self.tower(b))


def contrastive(d, same, margin=2.0):
    """Hadsell et al. 2006, with the distance itself for the pairs of one writer."""
    return (same * d + (1 - same) * torch.relu(margin - d) ** 2).mean()


def build():
    return {
        "model": Siamese(),
        "train_set": SignaturePairs(1000, 1),
        "val_set": SignaturePairs(300, 2),
        "loss": contrastive,
        "make_optimizer": lambda net: torch.optim.Adam(net.parameters(), lr=3e-3),
        "batch_size": 40,
        "epochs": 10,
    }
