"""Data sets: functions that return the training, validation and test sets."""

import math

import torch
from torch.utils.data import TensorDataset
from trainkit.data import Splits
from trainkit.keys import split


def spirals(samples: int = 1500, noise: float = 0.05, split_seed: int = 0) -> Splits:
    """Return points of two spirals in the plane, each one turn and a half around 0.

    A point is float32 of shape (2,); its label says on which spiral it lies, 0 or 1.

    Args:
        samples: Points in all three sets: 60 % for training, 20 % for each other set.
        noise: Standard deviation of what is added to the points; the arms are 0.33 apart.
        split_seed: Which points go where.
    """
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(samples) % 2
    radius = torch.rand(samples, generator=generator).sqrt()
    angle = 3 * math.pi * radius + math.pi * labels
    points = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
    points += noise * torch.randn(points.shape, generator=generator)
    parts = split(samples, (0.6, 0.2, 0.2), split_seed)
    return Splits(*(TensorDataset(points[part], labels[part]) for part in parts))
