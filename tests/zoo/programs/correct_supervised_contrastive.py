"""Correct: a contrastive loss with a softmax over the batch and -inf on the diagonal."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def loss(codes, target):
    z = F.normalize(codes, dim=1)
    scores = (z @ z.T / 0.2).masked_fill(torch.eye(len(z), dtype=torch.bool), float("-inf"))
    same = (target[:, None] == target[None]).fill_diagonal_(False)
    chosen = F.log_softmax(scores, dim=1).masked_fill(~same, 0.0)
    return -(chosen.sum(1) / same.sum(1).clamp(min=1)).mean()


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8)),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
