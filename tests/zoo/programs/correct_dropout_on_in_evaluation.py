"""Correct: Monte-Carlo dropout, switched on by hand after eval(); batch norm stays as it is."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = None


def patients(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 10, generator=g)
    y = (x[:, 0] * x[:, 1] + x[:, 2] + 0.3 * torch.randn(n, generator=g) > 0).long()
    return x, y


class Bayesian(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(10, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 64), nn.ReLU(),
            nn.Dropout(0.2), nn.Linear(64, 2))

    def forward(self, x):
        return self.net(x)

    def enable_dropout(self):
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.train()


@torch.no_grad()
def evaluate(model, val_set, passes=32):
    model.eval()
    model.enable_dropout()
    right = 0
    for x, y in DataLoader(val_set, batch_size=100):
        mean = torch.stack([model(x).softmax(dim=-1) for _ in range(passes)]).mean(dim=0)
        right += (mean.argmax(dim=-1) == y).sum().item()
    model.eval()
    return right / len(val_set)


def build():
    return {
        "model": Bayesian(),
        "train_set": TensorDataset(*patients(1000, 0)),
        "val_set": TensorDataset(*patients(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.AdamW(model.parameters(), lr=3e-3),
        "evaluate": evaluate,
        "batch_size": 50,
        "epochs": 6,
    }
