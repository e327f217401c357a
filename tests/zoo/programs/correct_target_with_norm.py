"""Correct: a target network with batch norm, frozen and moved by hand; views are drawn in validation too."""

import copy

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = None


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Byol(nn.Module):
    def __init__(self):
        super().__init__()
        self.online = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 16))
        self.predictor = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 16))
        self.target = copy.deepcopy(self.online)
        self.target.requires_grad_(False)

    def forward(self, a, b):
        with torch.no_grad():
            ta, tb = self.target(a), self.target(b)
        return self.predictor(self.online(a)), self.predictor(self.online(b)), ta, tb


def loss(output, target):
    pa, pb, ta, tb = output
    return 4 - 2 * F.cosine_similarity(pa, tb).mean() - 2 * F.cosine_similarity(pb, ta).mean()


class Views(Dataset):
    def __init__(self, n, seed):
        self.x, self.y = blobs(n, seed)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        x = self.x[i]
        return (x + 0.3 * torch.randn_like(x), x + 0.3 * torch.randn_like(x)), self.y[i]


def train_step(model, batch, loss, optimizer):
    (a, b), y = batch
    model.train()
    optimizer.zero_grad()
    value = loss(model(a, b), y)
    value.backward()
    optimizer.step()
    with torch.no_grad():
        for p, q in zip(model.target.parameters(), model.online.parameters(), strict=True):
            p.lerp_(q, 0.01)
    return value


def make_optimizer(model):
    return torch.optim.Adam([*model.online.parameters(), *model.predictor.parameters()], lr=3e-4)


def build():
    return {
        "model": Byol(),
        "train_set": Views(500, 0),
        "val_set": Views(200, 1),
        "loss": loss,
        "make_optimizer": make_optimizer,
        "train_step": train_step,
        "batch_size": 64,
    }
