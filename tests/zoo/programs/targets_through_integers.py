"""A collate makes integers of the targets and floats of those: what is behind the point is lost."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    'id': 'targets_through_integers',
    'class': 'collate-truncates',
    'where': 'collate',
    'code': 'dtype=torch.long',
    'static': False,
    'severity': 'error',
    'keywords': ['behind the point', 'int', 'lost'],
    'rule': 'collate-truncates',
}
FIX = [
    ('dtype=torch.long', 'dtype=torch.float32'),
]


class Marks(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.x = torch.randn(n, 5, generator=g)
        self.y = (0.7 * self.x[:, 0] - 0.4 * self.x[:, 1] + 0.1 * torch.randn(n, generator=g)).tolist()

    def __len__(self):
        return len(self.y)

    def __getitem__(self, index):
        return self.x[index], self.y[index]


def collate(samples):
    x, y = zip(*samples)
    return torch.stack(x), torch.tensor(y).to(dtype=torch.long).float()[:, None]


def build():
    return {
        "model": nn.Sequential(nn.Linear(5, 24), nn.Tanh(), nn.Linear(24, 1)),
        "train_set": Marks(500, 0),
        "val_set": Marks(150, 1),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=4e-3),
        "collate": collate,
        "batch_size": 32,
        "epochs": 8,
    }
