"""Real data sets that travel with the code. Sources and licences are in ``SOURCES.md`` beside this file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from trainkit.data.splits import Splits
from trainkit.errors import ConfigError
from trainkit.keys import fold, split

from .images import Transform, image_dataset

HERE = Path(__file__).parent
AUTO_MPG_INPUTS = ("cylinders", "displacement", "horsepower", "weight", "acceleration", "year")
AUTO_MPG_ORIGINS = ("1", "2", "3")  # America, Europe, Japan


def digits(
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    *,
    split_seed: int = 0,
    augment: Transform | Sequence[Transform] | None = None,
    only: Sequence[int] | None = None,
) -> Splits:
    """Read the UCI handwritten digits: 1,797 images of shape (1, 8, 8), float32 from 0 to 1, labels 0 to 9.

    Args:
        fractions: Shares of the training, validation and test sets.
        split_seed: Which images go where.
        augment: Random transforms of the training images.
        only: The digits to read, None for all; the first of them gets the label 0, and so on.

    Raises:
        ConfigError: If the fractions are not three shares of a whole, or ``only`` are not digits.
    """
    with numpy.load(HERE / "digits.npz") as file:
        images = torch.from_numpy(file["images"]).unsqueeze(1).float().div_(16)
        labels = torch.from_numpy(file["labels"]).long()
    if only is not None:
        if not only or len(set(only)) < len(only) or not set(only) <= set(range(10)):
            raise ConfigError(f"data.datasets.only={list(only)}: must be different digits from 0 to 9, at least one")
        places = labels[:, None] == torch.tensor(only)
        images, labels = images[places.any(1)], places[places.any(1)].int().argmax(1)
    train, val, test = _deal(len(images), fractions, split_seed)
    return Splits(
        image_dataset(images[train], labels[train], augment=augment),
        image_dataset(images[val], labels[val]) if len(val) else None,
        image_dataset(images[test], labels[test]) if len(test) else None,
    )


def auto_mpg(fractions: Sequence[float] = (0.6, 0.2, 0.2), *, split_seed: int = 0) -> Splits:
    """Read Auto-MPG: 392 cars, 9 inputs, and the miles per gallon to be predicted.

    The inputs, float32 of shape (9,), are six numbers and the origin as one of three; each is standardised with the
    mean and deviation of the training set, so that nothing of the other two leaks into it. The target, float32 of
    shape (1,), stays in miles per gallon, and so do the errors.

    Args:
        fractions: Shares of the training, validation and test sets.
        split_seed: Which cars go where.

    Raises:
        ConfigError: If the fractions are not three shares of a whole.
    """
    with open(HERE / "auto_mpg.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    inputs = torch.tensor(
        [
            [float(row[name]) for name in AUTO_MPG_INPUTS] + [float(row["origin"] == o) for o in AUTO_MPG_ORIGINS]
            for row in rows
        ]
    )
    targets = torch.tensor([[float(row["mpg"])] for row in rows])
    train, val, test = _deal(len(inputs), fractions, split_seed)
    std, mean = torch.std_mean(inputs[train], dim=0)
    inputs = (inputs - mean) / std
    return Splits(
        TensorDataset(inputs[train], targets[train]),
        TensorDataset(inputs[val], targets[val]) if len(val) else None,
        TensorDataset(inputs[test], targets[test]) if len(test) else None,
    )


def _deal(n: int, fractions: Sequence[float], split_seed: int) -> list[Tensor]:
    """Return the indices of the training, validation and test sets."""
    if len(fractions) != 3 or min(fractions) < 0 or sum(fractions) > 1 + 1e-9 or n * fractions[0] < 1:
        raise ConfigError(
            f"data.datasets.fractions={list(fractions)}: give the shares of the training, validation and test sets, "
            "three numbers that sum to at most 1, the first above 0"
        )
    return split(n, fractions, fold(split_seed, "split"))
