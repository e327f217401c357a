"""Correct: two views of a sample are drawn at each access, in validation too; the loss reads no label."""

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


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))
        self.projector = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 16))

    def forward(self, views):
        n, v = views.shape[:2]
        z = self.projector(self.encoder(views.flatten(0, 1)))
        return F.normalize(z, dim=-1).view(n, v, -1)


def nt_xent(z, _, temperature=0.2):
    n = len(z)
    z = torch.cat([z[:, 0], z[:, 1]])
    similarity = z @ z.T / temperature
    similarity = similarity.masked_fill(torch.eye(2 * n, dtype=torch.bool), float("-inf"))
    partner = torch.arange(2 * n).roll(n)
    return F.cross_entropy(similarity, partner)


class Views(Dataset):
    def __init__(self, n, seed):
        self.x, self.y = blobs(n, seed)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        x = self.x[i].expand(2, -1)
        return x + 0.2 * torch.randn(2, 16), self.y[i]


def build():
    return {
        "model": Net(),
        "train_set": Views(500, 0),
        "val_set": Views(200, 1),
        "loss": nt_xent,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
        "batch_size": 64,
    }
