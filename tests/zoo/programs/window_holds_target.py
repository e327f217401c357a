"""The window of a series reaches one step too far: its last value is the target."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "data711",
    "class": "target-in-inputs",
    "where": "train_set: input 16",
    "code": "Windows(0, 600)",
    "static": False,
    "severity": "error",
    "keywords": ["leak"],
    "rule": "target-in-inputs",
}
FIX = [
    ("index + 17], series", "index + 16], series"),
    ("nn.Linear(17, 32)", "nn.Linear(16, 32)"),
]


g = torch.Generator().manual_seed(0)
series = torch.randn(900, generator=g).cumsum(0) * 0.1
series = (series - series.mean()) / series.std()


class Windows(Dataset):
    def __init__(self, start, end):
        self.start, self.end = start, end

    def __len__(self):
        return self.end - self.start - 20

    def __getitem__(self, index):
        index += self.start
        return series[index : index + 17], series[index + 16 : index + 17]


def build():
    return {
        "model": nn.Sequential(nn.Linear(17, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": Windows(0, 600),
        "val_set": Windows(600, 900),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
