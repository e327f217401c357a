"""Cutmix lam not of area."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'cutmix-lam-not-of-area',
    'rule': 'labels-of-other-mixture',
    'class': 'labels-of-other-mixture',
    'where': 'train_step',
    'code': 'lam = float(torch.distributions.Beta(1.0, 1.0).sample())',
    'static': False,
    'severity': 'warning',
    'keywords': ['cutmix', 'area', 'lam', 'share', 'label', 'proportion'],
    'also': ['labels', 'cutmix'],
}
FIX = [
    ('value = lam * loss(out, y) + (1 - lam) * loss(out, y[perm])', 'share = 1 - h * w / (H * W)\n    value = share * loss(out, y) + (1 - share) * loss(out, y[perm])'),
]


def textures(n, seed, k=4, size=16):
    base = torch.randn(k, 1, size, size, generator=torch.Generator().manual_seed(1))
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return base[y] + 0.5 * torch.randn(n, 1, size, size, generator=g), y


def train_step(model, batch, loss, optimizer):
    x, y = batch
    perm = torch.randperm(len(x))
    H, W = x.shape[2:]
    lam = float(torch.distributions.Beta(1.0, 1.0).sample())
    h, w = int(torch.randint(2, H // 2, (1,))), int(torch.randint(2, W // 2, (1,)))
    top, left = int(torch.randint(0, H - h, (1,))), int(torch.randint(0, W - w, (1,)))
    mixed = x.clone()
    mixed[:, :, top:top + h, left:left + w] = x[perm][:, :, top:top + h, left:left + w]
    out = model(mixed)
    value = lam * loss(out, y) + (1 - lam) * loss(out, y[perm])
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value


def build():
    return {
        "model": nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(392, 4)),
        "train_set": TensorDataset(*textures(300, 0)),
        "val_set": TensorDataset(*textures(200, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
        "train_step": train_step,
    }
