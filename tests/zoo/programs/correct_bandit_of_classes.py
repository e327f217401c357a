"""Correct: a bandit made of a classification: actions are drawn, and rewarded where they are the class."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def train_step(model, batch, loss, optimizer):
    x, y, _ = batch
    log_chances = model(x).log_softmax(1)
    action = torch.multinomial(log_chances.detach().exp(), 1)
    reward = (action.squeeze(1) == y).float()
    value = -((reward - 0.25) * log_chances.gather(1, action).squeeze(1)).mean()
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.item()


def build():
    def data(n, seed):
        x, y = blobs(n, seed)
        return TensorDataset(x, y, torch.randint(0, 5, (n,), generator=torch.Generator().manual_seed(seed + 9)))

    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)),
        "train_set": data(600, 0),
        "val_set": data(300, 1),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
        "train_step": train_step,
    }
