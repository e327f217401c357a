"""The difference of two uint8 frames wraps around: small negative changes become large positive ones."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": 'seven-c12',
    "class": 'integers-wrap',
    "where": 'Clips.__getitem__',
    "code": 'motion = self.after[i] - self.before[i]',
    "static": False,
    "severity": 'error',
    "keywords": ['uint8', 'overflow', 'wrap', 'unsigned', 'negative'],
    "rule": 'integers-wrap',
}
FIX = [
    ('self.after[i] - self.before[i]', 'self.after[i].float() - self.before[i].float()'),
]


class Clips(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.before = torch.randint(60, 200, (n, 64), generator=g).to(torch.uint8)
        self.y = torch.randint(0, 2, (n,), generator=g)
        step = torch.randint(1, 12, (n, 1), generator=g) * (2 * self.y[:, None] - 1)
        step = step + torch.randint(-8, 9, (n, 64), generator=g)
        self.after = (self.before.int() + step).clamp(0, 255).to(torch.uint8)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        motion = self.after[i] - self.before[i]
        return motion.float() / 10, self.y[i]


def build():
    return {
        "model": nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2)),
        "train_set": Clips(500, 0),
        "val_set": Clips(250, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
