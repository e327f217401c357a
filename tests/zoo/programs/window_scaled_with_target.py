"""Each window is standardised together with the value that it has to predict."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": 'window-scaled-with-target',
    "rule": 'window-scaled-with-target',
    "class": 'look-ahead',
    "where": '__getitem__',
    "code": 'w = (w - w.mean()) / w.std()',
    "static": False,
    "severity": 'error',
    "keywords": ['target', 'leak', 'future', 'look-ahead'],
}
FIX = [
    ('w = (w - w.mean()) / w.std()', 'w = (w - w[:-1].mean()) / w[:-1].std()'),
]


class Prices(Dataset):
    def __init__(self, n, seed, length=10):
        g = torch.Generator().manual_seed(seed)
        self.series, self.length = torch.randn(n, generator=g).cumsum(0), length

    def __len__(self):
        return len(self.series) - self.length

    def __getitem__(self, i):
        w = self.series[i : i + self.length + 1]
        w = (w - w.mean()) / w.std()
        return w[:-1, None], w[-1:]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 32, batch_first=True)
        self.fc = nn.Linear(32, 1)

    def forward(self, x):
        return self.fc(self.lstm(x)[0][:, -1])


def build():
    return {"model": Net(), "train_set": Prices(900, 0), "val_set": Prices(300, 1), "loss": nn.MSELoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 3e-3), "batch_size": 30}
