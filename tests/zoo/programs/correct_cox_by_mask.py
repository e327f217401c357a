"""Correct: the Cox partial likelihood with its risk sets as a mask."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def patients(n, seed, d=8):
    w = torch.linspace(-1, 1, d)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    time = -torch.log(torch.rand(n, generator=g)) * torch.exp(-(x @ w))
    censor = -torch.log(torch.rand(n, generator=g)) * 2
    return x, torch.stack([torch.minimum(time, censor), (time <= censor).float()], 1)



def cox(risk, target):
    time, event = target.unbind(1)
    at_risk = time[None, :] >= time[:, None]
    log_sum = torch.logsumexp(risk[:, 0][None].expand(len(time), -1).masked_fill(~at_risk, -1e9), 1)
    return -((risk[:, 0] - log_sum) * event).sum() / event.sum().clamp(min=1)


def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*patients(300, 0)),
        "val_set": TensorDataset(*patients(200, 1)),
        "loss": cox,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
