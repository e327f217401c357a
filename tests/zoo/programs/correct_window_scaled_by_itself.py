"""Correct: each window is scaled by its inputs alone (reversible instance normalisation in the data)."""
import torch
from torch import nn
from torch.utils.data import Dataset

BUG = None


class Prices(Dataset):
    def __init__(self, n, seed, length=12):
        g = torch.Generator().manual_seed(seed)
        self.s, self.length = torch.randn(n, generator=g).cumsum(0), length

    def __len__(self):
        return len(self.s) - self.length

    def __getitem__(self, i):
        w = self.s[i : i + self.length + 1]
        low, high = w[:-1].min(), w[:-1].max()
        w = (w - low) / (high - low)
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
